//! Invented people: a name, and an address or id of one of the forms that senders use.

const GIVEN: [&str; 16] = [
    "Achieng", "Baraka", "Chebet", "Daudi", "Esther", "Fatuma", "Githinji", "Halima", "Imani", "Juma", "Kamau", "Lulu",
    "Makena", "Njeri", "Otieno", "Zawadi",
];
const FAMILY: [&str; 13] = [
    "Abdi",
    "Barasa",
    "Cheruiyot",
    "Ekai",
    "Kariuki",
    "Kiplagat",
    "Lokwawi",
    "Mutua",
    "Mwangi",
    "Naliaka",
    "Odhiambo",
    "Wanjiru",
    "Yusuf",
];

/// A name for a position. 16 and 13 have no common divisor, so that all 208 pairs occur.
pub(crate) fn name(position: usize) -> String {
    format!("{} {}", GIVEN[position % GIVEN.len()], FAMILY[position % FAMILY.len()])
}

/// Twelve digits of which `gctb simulate` replaces the first eight. The last four are never an ending that the
/// simulated bank rejects.
pub(crate) fn digits(position: usize) -> String {
    format!("{:08}{:04}", position + 1, 1000 + position * 37 % 9000)
}

/// A mobile number of Kenya, of which `gctb simulate` replaces the four digits before the last four.
pub(crate) fn msisdn(position: usize) -> String {
    phone_ending(position, &format!("{:04}", 1000 + position * 37 % 9000))
}

/// The same with another end: the simulated M-Pesa refuses by it.
pub(crate) fn phone_ending(position: usize, ending: &str) -> String {
    format!("2547{:04}{ending}", position + 1)
}

/// An id (45 in 100), or one of the direct forms in turn. docs/examples/README.md says who pays which.
pub(crate) fn address(position: usize) -> String {
    let digits = digits(position);
    match position % 20 {
        0..9 => format!("token:BEN{digits}@nationalId"),
        9 | 13 => format!("account:{}@safaricom.mpesa", msisdn(position)),
        10 | 14 => format!("account:254{digits}@pesalink.wallet"),
        11 => format!("account:{digits}@nairobi.coop.bank_acc"),
        12 | 17 => format!("account:{digits}@nairobi.kcb.bank_acc"),
        15 => format!("account_no:{digits}@EQBLKENA"),
        16 => format!("iban:KE00EQBL{digits}"),
        18 => format!("phone:+{}", msisdn(position)),
        _ if position % 40 == 19 => format!("email:payee{digits}@example.org"),
        _ => format!("email:payee{digits}@example.org.wallet"),
    }
}

/// Whether the rail of that address takes whole units alone: M-Pesa, and simple-mpesa.
pub(crate) fn is_paid_in_whole_units(position: usize) -> bool {
    matches!(position % 20, 9 | 13 | 18 | 19)
}
