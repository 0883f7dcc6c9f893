//! The addresses of the site, and what stands at each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use locktest_reports::{Selection, content_security_policy, render_store_html};
use serde::Deserialize;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::runs::Runs;
use crate::commands::report::matrix_page;

/// What every answer says beside the policy of the pages: nothing is framed, or kept.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What the pages are made of.
pub struct Site {
    runs: Runs,
    address: SocketAddr,
    policy: HeaderValue,
}

impl Site {
    pub fn new(store: PathBuf, address: SocketAddr) -> Site {
        let policy = content_security_policy() + "; frame-ancestors 'none'";
        let policy = policy.try_into().expect("the policy is plain ASCII");
        Site { runs: Runs::new(store), address, policy }
    }
}

/// Only GET and HEAD have an answer.
pub fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/runs/", get(matrix))
        .route("/runs/{*path}", get(file))
        .fallback(|| async { not_found() })
        .layer(middleware::from_fn_with_state(site.clone(), guard))
        .with_state(site)
}

/// Refuses whoever was led here by a name of another site, and adds the headers.
async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = match is_own_name(host, site.address) {
        true => next.run(request).await,
        false => {
            (StatusCode::MISDIRECTED_REQUEST, "this server has another name\n").into_response()
        }
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, site.policy.clone());
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page of another site may have a name that leads to loopback. On other addresses the name is the
/// user's affair.
fn is_own_name(host: Option<&str>, address: SocketAddr) -> bool {
    if !address.ip().is_loopback() {
        return true;
    }
    let port = address.port();
    let own = [format!("localhost:{port}"), address.to_string()];
    host.is_some_and(|host| own.iter().any(|own| own.eq_ignore_ascii_case(host)))
}

/// What the address of the index says.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    backend: Option<String>,
    faults: Option<String>,
    state: Option<String>,
    sort: Option<String>,
    live: Option<String>,
}

async fn index(State(site): State<Arc<Site>>, Query(asked): Query<Asked>) -> Response {
    let given = |value: Option<String>| value.filter(|value| !value.is_empty());
    let selection = Selection {
        backend: given(asked.backend),
        faults: given(asked.faults),
        state: given(asked.state),
        sort: given(asked.sort),
        live: given(asked.live).is_some(),
    };
    page(move || {
        let runs = site.runs.all()?;
        Ok(render_store_html(&site.runs.folder().display().to_string(), &runs, &selection))
    })
    .await
}

async fn matrix(State(site): State<Arc<Site>>) -> Response {
    page(move || matrix_page(site.runs.folder())).await
}

/// A page whose making reads files.
async fn page(make: impl FnOnce() -> anyhow::Result<String> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(make).await {
        Ok(Ok(page)) => {
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
        }
        Ok(Err(error)) => failed(&format!("{error:#}")),
        Err(_) => failed("the page could not be made"),
    }
}

async fn file(State(site): State<Arc<Site>>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix("/runs/").unwrap_or_default();
    let parts: Vec<Vec<u8>> = path.split('/').map(decoded).collect();
    let found = tokio::task::spawn_blocking(move || {
        let (run, file) = parts.split_first()?;
        let file: Vec<&str> =
            file.iter().map(|part| std::str::from_utf8(part)).collect::<Result<_, _>>().ok()?;
        site.runs.file(run, &file)
    });
    let Ok(Some((path, kind))) = found.await else { return not_found() };
    match File::open(path).await {
        Ok(file) => {
            let body = Body::from_stream(ReaderStream::new(file));
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Err(_) => not_found(),
    }
}

/// A part of an address, with its percent signs undone once.
fn decoded(part: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(part).collect()
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing here; / lists the runs\n").into_response()
}

fn failed(why: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_address_is_decoded_once() {
        assert_eq!(decoded("a%20b"), b"a b");
        assert_eq!(decoded("%2e%2e%2f"), b"../");
        assert_eq!(decoded("%252e"), b"%2e");
        assert_eq!(decoded("100%"), b"100%");
        assert_eq!(decoded("%zz%"), b"%zz%");
    }

    #[test]
    fn only_the_own_name_is_answered_on_loopback() {
        let address: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        assert!(is_own_name(Some("127.0.0.1:8080"), address));
        assert!(is_own_name(Some("LOCALHOST:8080"), address));
        for other in [None, Some("evil.example:8080"), Some("127.0.0.1"), Some("localhost:81")] {
            assert!(!is_own_name(other, address), "{other:?}");
        }
        assert!(is_own_name(Some("any.example"), "10.0.0.1:80".parse().expect("an address")));
    }
}
