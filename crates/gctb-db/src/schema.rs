//! The tables that are written by COPY, as diesel wants them. Everything else is SQL that stands where it is used.

diesel::table! {
    payment_instructions (batch_id, seq) {
        batch_id -> Uuid,
        seq -> Integer,
        request_id -> Text,
        ref_hash -> BigInt,
        request_timestamp -> Timestamptz,
        from_fa -> Text,
        to_fa -> Text,
        amount -> Nullable<BigInt>,
        currency -> Text,
        amount_text -> Nullable<Text>,
        scheduled_at -> Nullable<Timestamptz>,
        scheduled_text -> Nullable<Text>,
        payer_name -> Nullable<Text>,
        payee_name -> Nullable<Text>,
        purpose -> Nullable<Text>,
        note -> Nullable<Text>,
        instruction -> Nullable<Text>,
        locale -> Nullable<Text>,
        status -> SmallInt,
        prev_status -> SmallInt,
        version -> Integer,
        error_code -> Nullable<Text>,
        error_msg -> Nullable<Text>,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    payment_ledger (batch_id, seq) {
        batch_id -> Uuid,
        seq -> Integer,
        batch_no -> BigInt,
        version -> Integer,
        state -> SmallInt,
        attempt -> SmallInt,
        backend -> Nullable<Text>,
        owner -> Nullable<Uuid>,
        from_fa -> Nullable<Text>,
        resolved_fa -> Nullable<Text>,
        amount -> Nullable<BigInt>,
        currency -> Nullable<Text>,
        payee_name -> Nullable<Text>,
        narrative -> Nullable<Text>,
        file_id -> Nullable<BigInt>,
        file -> Nullable<Text>,
        reason_code -> Nullable<Text>,
        message -> Nullable<Text>,
        changed_at -> Timestamptz,
        sends -> SmallInt,
        quiet_at -> Nullable<Timestamptz>,
        work_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    outbox (id) {
        id -> Uuid,
        kind -> SmallInt,
        batch_id -> Uuid,
        topic -> Text,
        key -> Text,
        schema -> Text,
        traceparent -> Nullable<Text>,
        payload -> Binary,
        due_at -> Timestamptz,
    }
}
