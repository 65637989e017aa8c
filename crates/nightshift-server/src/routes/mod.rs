//! The routes, one for each operation; the OpenAPI document is made of the same list.

mod agents;
mod checkpoints;
mod environments;
mod everything;
mod hold;
mod host;
mod loans;
mod models;
mod reviews;
mod runs;
mod screens;
mod sessions;
mod settings;
mod spelling;
mod terminals;
mod webhooks;

use std::path::Path;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::response::IntoResponse;
use axum::{Json, Router, middleware};
use nightshift_api::Api;
use nightshift_protocol::{ErrorCode, UserError};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::guard::{self, Guard};
use crate::reply::Refusal;
use crate::ui;

/// The largest body of a request in bytes; a description of a task has 50,000 characters at most.
const LARGEST_BODY: usize = 1 << 20;

type Answer<T> = Result<Json<T>, Refusal>;
type Shared = State<Arc<Api>>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nightshift",
        description = "Background coding agents, each in a Linux desktop virtual machine of its own. Every request \
                       carries the owner's token (`authorization: Bearer …`) or the cookie of a session. Runs may be \
                       named by their id, by their task's, or by how one of them begins."
    ),
    components(schemas(
        nightshift_protocol::UserError,
        nightshift_protocol::Event,
        nightshift_protocol::Live,
        nightshift_protocol::RunChanged,
        nightshift_protocol::ScreenMessage,
        nightshift_protocol::ViewerMessage,
        nightshift_protocol::TerminalMessage,
        nightshift_protocol::TerminalRequest
    ))
)]
struct Document;

fn operations() -> OpenApiRouter<Arc<Api>> {
    let operations = OpenApiRouter::new()
        .routes(routes!(host::health))
        .routes(routes!(host::doctor))
        .routes(routes!(host::prepare_template))
        .routes(routes!(host::prune))
        .routes(routes!(host::artifact))
        .routes(routes!(settings::settings, settings::change_settings))
        .routes(routes!(settings::undo_settings))
        .routes(routes!(settings::keep_key, settings::forget_key))
        .routes(routes!(settings::restart))
        .routes(routes!(models::models))
        .routes(routes!(models::engines))
        .routes(routes!(models::try_model))
        .routes(routes!(everything::overview))
        .routes(routes!(everything::search))
        .routes(routes!(everything::changes))
        .routes(routes!(runs::submit_task))
        .routes(routes!(runs::expect_task))
        .routes(routes!(runs::example))
        .routes(routes!(runs::runs))
        .routes(routes!(runs::run))
        .routes(routes!(runs::events))
        .routes(routes!(runs::stream))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::continue_run))
        .routes(routes!(runs::say))
        .routes(routes!(runs::resume_run))
        .routes(routes!(checkpoints::checkpoints, checkpoints::save_checkpoint))
        .routes(routes!(checkpoints::remove_checkpoint))
        .routes(routes!(checkpoints::rewind))
        .routes(routes!(checkpoints::fork))
        .routes(routes!(checkpoints::suspend))
        .routes(routes!(environments::set_up_environment, environments::list_environments))
        .routes(routes!(environments::plan_environment))
        .routes(routes!(agents::look_for_agents))
        .routes(routes!(environments::show_environment, environments::remove_environment))
        .routes(routes!(environments::environment_log))
        .routes(routes!(environments::retry_environment))
        .routes(routes!(runs::interrupt))
        .routes(routes!(runs::decide))
        .routes(routes!(runs::raise_limits))
        .routes(routes!(runs::tree))
        .routes(routes!(runs::blob))
        .routes(routes!(reviews::queue))
        .routes(routes!(reviews::statistics))
        .routes(routes!(reviews::pull_requests))
        .routes(routes!(reviews::pull_request))
        .routes(routes!(reviews::files))
        .routes(routes!(reviews::diff))
        .routes(routes!(reviews::merge))
        .routes(routes!(reviews::close))
        .routes(routes!(reviews::attempts))
        .routes(routes!(reviews::close_others))
        .routes(routes!(reviews::comment))
        .routes(routes!(reviews::withdraw))
        .routes(routes!(reviews::ask))
        .routes(routes!(reviews::approve))
        .routes(routes!(webhooks::github))
        .routes(routes!(screens::screen))
        .routes(routes!(screens::small))
        .routes(routes!(terminals::terminal))
        .routes(routes!(loans::sandboxes, loans::borrow_sandbox))
        .routes(routes!(loans::close_sandbox))
        .routes(routes!(loans::renew_sandbox))
        .routes(routes!(loans::act_on_screen))
        .routes(routes!(loans::run_command))
        .routes(routes!(loans::read_lent_file, loans::write_lent_file))
        .routes(routes!(sessions::open, sessions::show, sessions::end))
        .routes(routes!(sessions::ticket));
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", operations)
}

/// The OpenAPI document of everything under `/api/v1`.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut document) = operations().split_for_parts();
    describe_errors(&mut document);
    spelling::camel_case(&mut document);
    document
}

/// Every operation may answer with an error, and all errors have one form.
fn describe_errors(document: &mut utoipa::openapi::OpenApi) {
    use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("UserError"))).build();
            let response = ResponseBuilder::new()
                .description("What failed, why, and what to do next.")
                .content("application/json", content);
            operation.responses.responses.insert("default".to_owned(), response.build().into());
        }
    }
}

/// Builds the router over the operations of `api`, and over the files of the web UI where there are some.
pub fn router(api: Arc<Api>, guard: Guard, ui: Option<&Path>) -> Router {
    let document = Arc::new(openapi());
    let (operations, _) = operations().with_state(api).split_for_parts();
    let served = move || async move { Json(document.as_ref()).into_response() };
    let operations = operations
        .route("/api/v1/openapi.json", axum::routing::get(served))
        .route("/api/{*rest}", axum::routing::any(nothing_here))
        .method_not_allowed_fallback(not_like_this)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(Extension(guard.clone()));
    let all = match ui {
        Some(folder) => operations.merge(ui::files(folder)),
        None => operations.merge(ui::not_built()).fallback(nothing_here),
    };
    ui::labelled(all.layer(middleware::from_fn_with_state(guard, guard::check)))
}

/// Puts the guard before routes of another kind that are served at an address of their own.
pub fn guarded(routes: Router, guard: Guard) -> Router {
    routes.fallback(nothing_here).layer(middleware::from_fn_with_state(guard, guard::check))
}

async fn nothing_here() -> Refusal {
    Refusal(UserError::new(
        ErrorCode::NotFound,
        "there is no such operation",
        "The operations are under /api/v1; /api/v1/openapi.json lists them.",
    ))
}

async fn not_like_this() -> impl IntoResponse {
    let error = UserError::new(
        ErrorCode::InvalidRequest,
        "the operation is not asked for by this HTTP method",
        "/api/v1/openapi.json says which method it takes.",
    );
    (axum::http::StatusCode::METHOD_NOT_ALLOWED, Json(error))
}
