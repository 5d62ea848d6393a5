//! The operator's page: what came in, why it did or did not fire, and what happened then.
//!
//! Each view is a file: it makes a plain struct, which is the JSON of `/api/v1/…` and the data of a
//! template. Every view can be read without a script. The script, `assets/page.js`, adds what is
//! live, the keyboard and confirmations. `view.rs` names the views and their addresses.

mod arrival;
mod arrivals;
mod assets;
mod delivery;
mod file;
mod frame;
mod html;
mod news;
mod problems;
mod queue;
mod response;
mod rule;
mod rules;
mod sources;
mod suggest;
mod system;
mod try_rules;
mod view;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use self::assets::Assets;
use self::frame::Frame;
use self::html::Html;
use self::response::response;

pub use self::arrivals::ArrivalsView;
pub use self::file::body;
pub use self::news::ArrivalNews;
pub use self::rules::RuleList;
pub use self::sources::{Params, READS, Sources, ViewError, Visitor};
pub use self::suggest::{Completions, completions};
pub use self::view::{View, ViewData};

/// The page: views, templates and the files that they load.
pub struct Page {
    html: Html,
    assets: Assets,
    sources: Sources,
}

/// Data of the layout.
#[derive(Serialize)]
struct Layout<'a> {
    title: &'a str,
    view: &'a str,
    nav: Vec<NavItem>,
    frame: Frame,
    content: &'a str,
}

/// A link of the navigation.
#[derive(Serialize)]
struct NavItem {
    title: &'static str,
    path: &'static str,
    view: &'static str,
    current: bool,
}

/// Data of the template of an error.
#[derive(Serialize)]
struct ErrorView<'a> {
    title: &'a str,
    message: &'a str,
}

impl Page {
    /// Compiles the templates. The error names the template that is wrong.
    pub fn new(sources: Sources) -> Result<Self, String> {
        Ok(Self {
            html: Html::new(sources.clock.clone())?,
            assets: Assets::new(),
            sources,
        })
    }

    /// Sources of the views.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Answers a request for a file that the page loads. `None` if there is none at the path.
    pub fn asset(&self, path: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
        self.assets.answer(path, headers)
    }

    /// Answers a request for a view with HTML.
    pub async fn html(&self, view: View, params: &Params, visitor: Visitor) -> Response<Bytes> {
        let read = view.read(&self.sources, params, visitor).await;
        self.shown(view, read, visitor).await
    }

    /// Answers a form that tries rules with HTML.
    pub async fn tried(&self, form: &[u8], visitor: Visitor) -> Response<Bytes> {
        let read = try_rules::post(&self.sources, form, visitor).await;
        let read = read.map(|view| ViewData::Try(Box::new(view)));
        self.shown(View::Try, read, visitor).await
    }

    async fn shown(
        &self,
        view: View,
        read: Result<ViewData, ViewError>,
        visitor: Visitor,
    ) -> Response<Bytes> {
        let read = read.and_then(|data| {
            let rendered = match &data {
                ViewData::Arrivals(shown) => self.html.render(view.template(), arrivals::shown(shown)),
                data => self.html.render(view.template(), data),
            };
            rendered.map_err(|error| ViewError::Failed(format!("the page cannot be made: {error}")))
        });
        match read {
            Ok(content) => {
                let status = StatusCode::OK;
                self.page(status, view.title(), Some(view), &content, visitor)
                    .await
            }
            Err(error) => self.error(&error, visitor).await,
        }
    }

    /// The page that says why there is nothing to show.
    pub async fn error(&self, error: &ViewError, visitor: Visitor) -> Response<Bytes> {
        let (status, title) = (error.status(), error.title());
        let message = error.message();
        let view = ErrorView {
            title,
            message: &message,
        };
        let content = self.html.render("error.html", &view).unwrap_or_default();
        self.page(status, title, None, &content, visitor).await
    }

    async fn page(
        &self,
        status: StatusCode,
        title: &str,
        view: Option<View>,
        content: &str,
        visitor: Visitor,
    ) -> Response<Bytes> {
        // The rules file is only shown to those who may act.
        let items = View::IN_NAVIGATION.into_iter();
        let items = items.filter(|item| visitor.may_act || *item != View::Try);
        let nav = items.map(|item| NavItem {
            title: item.title(),
            path: item.pattern(),
            view: item.name(),
            current: view.map(View::parent) == Some(item),
        });
        let layout = Layout {
            title,
            view: view.map_or("error", View::name),
            nav: nav.collect(),
            frame: Frame::new(&self.sources, visitor).await,
            content,
        };
        match self.html.render("layout.html", &layout) {
            Ok(page) => response(status, "text/html; charset=utf-8", page),
            Err(error) => response(
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain; charset=utf-8",
                error,
            ),
        }
    }
}
