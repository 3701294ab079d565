//! Settings of somebody whom M-Pesa, both kinds, knows, as the simulator plays it.

use gctb_simulator::testing::Played;

use super::Certificate;
use crate::settings::MpesaSettings;

/// Makes these the settings of somebody whom both rails know. The certificate must outlive them.
pub(crate) async fn introduce(played: &Played, settings: &mut MpesaSettings) -> Certificate {
    let certificate = Certificate::text(&played.text("/control/mpesa/certificate").await);
    let secret = |text: &str| Some(text.to_owned().into());
    let daraja = &mut settings.daraja;
    daraja.base_url = Some(played.url());
    daraja.certificate_file = Some(certificate.path());
    daraja.allow_expired_certificate = true;
    daraja.consumer_key = secret("demo-consumer-key");
    daraja.consumer_secret = secret("demo-consumer-secret");
    daraja.initiator_password = secret("demo-password#1");
    settings.simple.base_url = Some(played.url());
    settings.simple.agent_email = Some("agent@demo.example".to_owned());
    settings.simple.agent_password = secret("demo-password");
    certificate
}
