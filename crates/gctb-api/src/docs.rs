//! The description of the API and the page that shows it. Both are part of the program and work offline.

use actix_web::HttpResponse;
use actix_web::http::header::{ContentType, LOCATION};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The description, OpenAPI 3.1, as it stands in the repository.
pub(crate) const OPENAPI: &str = include_str!("../openapi.json");

pub(crate) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(OPENAPI)
}

/// `/docs` without the slash, which people type.
pub(crate) async fn to_docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}

pub(crate) fn swagger_ui() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json"))
}
