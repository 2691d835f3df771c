//! The OpenAPI document. It is made from the handlers and from the types that they take and give, so it cannot tell of
//! another API than the one that is served.

use std::borrow::Cow;

use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required, ResponseBuilder,
    Schema,
};
use utoipa::{PartialSchema, ToSchema};

use super::types::{ErrorBody, ErrorView};
use crate::dialect::{Name, Protocol};

/// The document before any path is in it.
pub fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Pierhead")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(License::new(env!("CARGO_PKG_LICENSE"))));
    let mut document = OpenApiBuilder::new().info(info.build()).build();
    let components = document.components.get_or_insert_default();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.security_schemes.insert(TOKEN.into(), bearer.into());
    let schemas = &mut components.schemas;
    schemas.insert(ErrorBody::name().into(), ErrorBody::schema());
    schemas.insert(ErrorView::name().into(), ErrorView::schema());
    // On the control socket nobody needs a token.
    document.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new(TOKEN, [""; 0])]);
    document
}

/// Adds what holds for every path.
pub fn finish(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        operations(item).for_each(|operation| {
            name_uniquely(operation);
            describe_answers(operation);
            add_error(operation);
        });
        let PathItem { post, put, patch, delete, .. } = item;
        [post, put, patch, delete].into_iter().flatten().for_each(add_key);
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, put, patch, delete, .. } = item;
    [get, post, put, patch, delete].into_iter().flatten()
}

/// For generators of clients: `addons_list`, since there are lists of other things too.
fn name_uniquely(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    operation.operation_id = tag.zip(operation.operation_id.as_ref()).map(|(tag, id)| format!("{tag}_{id}"));
}

/// An answer of which nothing more is to be said is what the request is for.
fn describe_answers(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = operation.summary.clone().unwrap_or_default();
        }
    }
}

fn add_error(operation: &mut Operation) {
    let body = Content::new(Some(Ref::from_schema_name(ErrorBody::name())));
    let response = ResponseBuilder::new()
        .description(
            "It was not done, and nothing was changed: `error.code` is for programs, the rest for people",
        )
        .content("application/json", body);
    operation.responses.responses.insert("default".into(), RefOr::T(response.build()));
}

/// What changes something takes a key, but for streams.
fn add_key(operation: &mut Operation) {
    let is_stream = |body: &RefOr<RequestBody>| matches!(body, RefOr::T(body) if !body.content.contains_key("application/json"));
    if !operation.request_body.as_ref().is_some_and(is_stream) {
        let key = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("Sent again with the same key, the request is done once and answered alike"))
            .schema(Some(text("1 to 255 visible ASCII characters, such as a UUID")));
        operation.parameters.get_or_insert_default().push(key.build().into());
    }
}

impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        text("A name: 1 to 32 characters, a-z first, then a-z, 0-9 and '-'")
            .pattern(Some("^[a-z][a-z0-9-]{0,31}$"))
            .into()
    }
}

impl ToSchema for Name {
    fn name() -> Cow<'static, str> {
        "Name".into()
    }
}

impl PartialSchema for Protocol {
    fn schema() -> RefOr<Schema> {
        let words = Protocol::ALL.iter().map(|protocol| protocol.as_str());
        text("A protocol of the edge").enum_values(Some(words)).into()
    }
}

impl ToSchema for Protocol {
    fn name() -> Cow<'static, str> {
        "Protocol".into()
    }
}

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).description(Some(description))
}

const TOKEN: &str = "token";
const DESCRIPTION: &str = "\
The control API of Pierhead, the TCP edge of a Docker host. It is served on the control socket, so `curl \
--unix-socket /run/pierhead/control.sock http://pierhead/v1/addons` works. A request that wants something of an addon is \
answered as soon as that is written down; what is done about it shows in later answers and in `/v1/events`.";
