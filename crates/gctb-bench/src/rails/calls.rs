//! The calls of one payment, as the rails' clients make them and with nothing around them: the same HTTP library set up in the
//! same way, a body made for each call, each answer read to its end.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, redirect, retry};
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::settings::{INITIATOR, SHORT_CODE};
use crate::error::BenchError;
use crate::message::{email, phone};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection lies idle: shorter than servers keep it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Pays people over one rail.
#[derive(Debug)]
pub(super) struct Calls {
    client: Client,
    base: String,
    access: Access,
}

/// `POST /api/transaction/deposit` of simple-mpesa.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deposit<'a> {
    amount: u64,
    account_no: &'a str,
    customer_type: &'a str,
}

/// `POST /mpesa/b2c/v3/paymentrequest` of Daraja.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Payment<'a> {
    #[serde(rename = "OriginatorConversationID")]
    originator_conversation_id: &'a str,
    initiator_name: &'a str,
    security_credential: &'a str,
    #[serde(rename = "CommandID")]
    command_id: &'a str,
    amount: &'a str,
    party_a: &'a str,
    party_b: &'a str,
    remarks: &'a str,
    #[serde(rename = "QueueTimeOutURL")]
    queue_time_out_url: &'a str,
    #[serde(rename = "ResultURL")]
    result_url: &'a str,
}

/// `POST /transfers` of the Mojaloop SDK.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Transfer<'a> {
    home_transaction_id: &'a str,
    from: Party<'a>,
    to: Party<'a>,
    amount_type: &'a str,
    currency: &'a str,
    amount: &'a str,
    transaction_type: &'a str,
    note: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Party<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    party_type: Option<&'a str>,
    id_type: &'a str,
    id_value: &'a str,
    display_name: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Quoted {
    transfer_id: String,
}

/// `PUT /transfers/{transferId}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Acceptance {
    accept_quote: bool,
}

impl Calls {
    /// For one thread, since a client's connections live in the runtime that made them.
    pub(super) fn new(base: &str, access: Access, connections: usize) -> Result<Self, BenchError> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(connections)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .http1_only()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(failed)?;
        Ok(Self { client, base: base.to_owned(), access })
    }

    /// Pays the person with this number.
    pub(super) async fn pay(&self, number: u64) -> Result<(), BenchError> {
        match &self.access {
            Access::Simple { authorization } => self.deposit(number, authorization).await,
            Access::Daraja { authorization, credential, callback_url } => {
                self.payment(number, authorization, credential, callback_url).await
            }
            Access::Mojaloop => self.transfer(number).await,
        }
    }

    async fn deposit(&self, number: u64, authorization: &str) -> Result<(), BenchError> {
        let deposit = Deposit { amount: amount(number), account_no: &email(number), customer_type: "subscriber" };
        let url = format!("{}/api/transaction/deposit", self.base);
        let request = self.client.post(url).header(AUTHORIZATION, authorization);
        call(request, &deposit).await.map(drop)
    }

    async fn payment(
        &self,
        number: u64,
        authorization: &str,
        credential: &str,
        callback_url: &str,
    ) -> Result<(), BenchError> {
        let payment = Payment {
            originator_conversation_id: &format!("gctb-{number:012}"),
            initiator_name: INITIATOR,
            security_credential: credential,
            command_id: "BusinessPayment",
            amount: &amount(number).to_string(),
            party_a: SHORT_CODE,
            party_b: &phone(number),
            remarks: "Payment for Cycle 7 under Farmer Relief",
            queue_time_out_url: &format!("{callback_url}/payment/timeout"),
            result_url: &format!("{callback_url}/payment/result"),
        };
        let url = format!("{}/mpesa/b2c/v3/paymentrequest", self.base);
        let request = self.client.post(url).header(AUTHORIZATION, authorization);
        call(request, &payment).await.map(drop)
    }

    async fn transfer(&self, number: u64) -> Result<(), BenchError> {
        let transfer = Transfer {
            home_transaction_id: &format!("{number:012}"),
            from: Party {
                party_type: Some("BUSINESS"),
                id_type: "ACCOUNT_ID",
                id_value: "1212121212",
                display_name: "Government Treasury Bank",
            },
            to: Party {
                party_type: None,
                id_type: "ACCOUNT_ID",
                id_value: &format!("{number:012}7777"),
                display_name: "Achieng Baraka",
            },
            amount_type: "SEND",
            currency: "KES",
            amount: &amount(number).to_string(),
            transaction_type: "TRANSFER",
            note: "Payment for Cycle 7 under Farmer Relief",
        };
        let url = format!("{}/transfers", self.base);
        let answer = call(self.client.post(&url), &transfer).await?;
        let quoted: Quoted = serde_json::from_slice(&answer)?;
        let accept = self.client.put(format!("{url}/{}", quoted.transfer_id));
        call(accept, &Acceptance { accept_quote: true }).await.map(drop)
    }
}

async fn call(request: RequestBuilder, body: &impl Serialize) -> Result<Vec<u8>, BenchError> {
    let body = serde_json::to_vec(body)?;
    let request = request.header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json");
    let mut response = request.timeout(CALL_TIMEOUT).body(body).send().await.map_err(failed)?;
    if response.status() != 200 {
        let doing = "a payment of the floor".to_owned();
        return Err(BenchError::Refused { doing, status: response.status().as_u16() });
    }
    let mut answer = Vec::new();
    while let Some(part) = response.chunk().await.map_err(failed)? {
        answer.extend_from_slice(&part);
    }
    Ok(answer)
}

fn failed(source: reqwest::Error) -> BenchError {
    BenchError::Http { doing: "make a payment of the floor".to_owned(), source }
}

/// Whole units of KES that every rail pays.
const fn amount(number: u64) -> u64 {
    100 + number * 79 % 99_900
}
