//! What the tests of this crate share: settings, orders, certificates of their own, and a server that misbehaves.

pub(crate) mod played;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gctb_backend::Order;
use gctb_domain::{BatchNo, Currency, FinancialAddress, Money, RailKey, Seq};
use openssl::asn1::Asn1Time;
use openssl::base64;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::x509::{X509Builder, X509NameBuilder};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::settings::{IDENTITY, MpesaSettings};

/// The time of the tests, in seconds since 1970.
pub(crate) const NOW: i64 = 1_790_000_000;
pub(crate) const PASSWORD: &str = "Safaricom#2026";
pub(crate) const CALLBACK_TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[derive(Deserialize)]
struct Group {
    mpesa: MpesaSettings,
}

/// The defaults, with what is required.
pub(crate) fn settings() -> MpesaSettings {
    load(&[]).expect("the defaults can be read")
}

/// The defaults and this environment.
pub(crate) fn load(env: &[(&str, &str)]) -> Result<MpesaSettings, String> {
    let required = [
        ("PROFILE", "daraja"),
        ("REQUIRE_HTTPS", "false"),
        ("DARAJA__BASE_URL", "http://127.0.0.1:9"),
        ("DARAJA__CONSUMER_KEY", "app-key-hush"),
        ("DARAJA__CONSUMER_SECRET", "app-secret-hush"),
        ("DARAJA__INITIATOR_NAME", "testapi"),
        ("DARAJA__INITIATOR_PASSWORD", PASSWORD),
        ("DARAJA__CERTIFICATE_FILE", "/nowhere/mpesa.pem"),
        ("DARAJA__SHORT_CODE", "600992"),
        ("DARAJA__CALLBACK_URL", "https://gctb.example.org/mpesa/"),
        ("DARAJA__CALLBACK_TOKEN", CALLBACK_TOKEN),
        ("SIMPLE__BASE_URL", "http://127.0.0.1:9"),
        ("SIMPLE__AGENT_EMAIL", "agent@example.org"),
        ("SIMPLE__AGENT_PASSWORD", "agent-hush"),
    ];
    let env = required.iter().chain(env);
    let env = env.map(|(key, value)| (format!("GCTB_BACKEND_MPESA__MPESA__{key}"), (*value).to_owned()));
    let loaded = gctb_runtime::settings::load_from::<Group>(&IDENTITY, std::iter::empty(), env);
    loaded.map(|group| group.mpesa).map_err(|error| error.to_string())
}

/// Settings of a rail at `url`, with times that suit a test.
pub(crate) fn settings_at(url: &str, certificate: &Certificate) -> MpesaSettings {
    let mut settings = settings();
    settings.daraja.base_url = Some(url.to_owned());
    settings.daraja.certificate_file = Some(certificate.path());
    settings.simple.base_url = Some(url.to_owned());
    settings
}

pub(crate) fn kes(text: &str) -> Money {
    Money::parse(text, Currency::parse("KES").expect("a currency")).expect(text)
}

pub(crate) fn key() -> RailKey {
    RailKey::new(BatchNo(7), Seq(3), 1).expect("in range")
}

pub(crate) fn order_to(address: &str, amount: &str) -> Order {
    Order {
        key: key(),
        handle: None,
        to: FinancialAddress::parse(address).expect("an address"),
        amount: kes(amount),
        payee_name: "Nicholas John Songok".into(),
        narrative: "Farmers' relief".into(),
        sends: 1,
        quiet: false,
    }
}

/// A file below the system's folder for such, removed with this.
pub(crate) struct Certificate {
    path: PathBuf,
    key: Option<Rsa<Private>>,
}

static FILES: AtomicUsize = AtomicUsize::new(0);

impl Certificate {
    pub(crate) fn text(text: &str) -> Self {
        let name = format!("gctb-mpesa-{}-{}.pem", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("the file is written");
        Self { path, key: None }
    }

    /// One for an RSA key of this many bits, until `ends` in seconds since 1970.
    pub(crate) fn rsa(bits: u32, ends: i64) -> Self {
        // Making a key takes most of a test's time; who it belongs to is nobody's matter here.
        static USUAL: OnceLock<Rsa<Private>> = OnceLock::new();
        let make = || Rsa::generate(bits).expect("a key");
        let key = if bits == 2048 { USUAL.get_or_init(make).clone() } else { make() };
        let mut certificate = Self::of(&PKey::from_rsa(key.clone()).expect("a key"), ends);
        certificate.key = Some(key);
        certificate
    }

    pub(crate) fn of(key: &PKey<Private>, ends: i64) -> Self {
        let mut name = X509NameBuilder::new().expect("a name");
        name.append_entry_by_text("CN", "apigee.example.org").expect("a name");
        let name = name.build();
        let mut builder = X509Builder::new().expect("a certificate");
        let serial = BigNum::from_u32(1).expect("a number").to_asn1_integer().expect("a number");
        builder.set_serial_number(&serial).expect("set");
        builder.set_subject_name(&name).expect("set");
        builder.set_issuer_name(&name).expect("set");
        builder.set_pubkey(key).expect("set");
        builder.set_not_before(&Asn1Time::from_unix(0).expect("a time")).expect("set");
        builder.set_not_after(&Asn1Time::from_unix(ends).expect("a time")).expect("set");
        builder.sign(key, MessageDigest::sha256()).expect("signed");
        let pem = builder.build().to_pem().expect("PEM");
        Self::text(&String::from_utf8(pem).expect("PEM is text"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    pub(crate) fn decrypt(&self, credential: &str) -> Vec<u8> {
        let key = self.key.as_ref().expect("an RSA key");
        let encrypted = base64::decode_block(credential).expect("base 64");
        let mut plain = vec![0; key.size() as usize];
        let length = key.private_decrypt(&encrypted, &mut plain, Padding::PKCS1).expect("PKCS#1 v1.5");
        plain.truncate(length);
        plain
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a [`Misbehaving`] server does with a payment that it has read whole.
#[derive(Clone, Copy)]
pub(crate) enum After {
    /// Closes the connection.
    Close,
    /// Answers never.
    Hang,
    /// Begins to answer, and closes.
    HalfAnAnswer,
    /// Answers the first on a connection, and closes after it has read the second.
    CloseAtTheSecond(&'static str),
}

/// A server that answers logins and fails at payments, and counts those that it has read.
pub(crate) struct Misbehaving {
    pub(crate) url: String,
    read: Arc<AtomicUsize>,
}

impl Misbehaving {
    pub(crate) async fn start(login: &'static str, after: After) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    let mut paid_here = 0;
                    while let Some(request) = read_request(&mut stream).await {
                        let is_login = request.starts_with("GET /oauth") || request.starts_with("POST /api/login");
                        if is_login {
                            answer(&mut stream, login).await;
                            continue;
                        }
                        counter.fetch_add(1, Ordering::SeqCst);
                        match after {
                            After::Close => return,
                            After::Hang => std::future::pending().await,
                            After::HalfAnAnswer => {
                                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{").await;
                                return;
                            }
                            After::CloseAtTheSecond(_) if paid_here > 0 => return,
                            After::CloseAtTheSecond(body) => answer(&mut stream, body).await,
                        }
                        paid_here += 1;
                    }
                });
            }
        });
        Self { url, read }
    }

    /// How many payments it has read.
    pub(crate) fn payments_read(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }
}

async fn answer(stream: &mut tokio::net::TcpStream, body: &str) {
    let text =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(text.as_bytes()).await;
}

/// One request with its body, as text; None at the end of the connection.
async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
        }
    }
}

/// A deadline that a test of a hanging rail can afford.
pub(crate) fn hurried(settings: &mut MpesaSettings) {
    settings.connect_timeout = Duration::from_millis(100);
    settings.token_timeout = Duration::from_millis(400);
    settings.call_timeout = Duration::from_millis(1200);
}
