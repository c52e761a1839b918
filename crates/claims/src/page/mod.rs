//! The report of a run as JSON, Markdown and HTML.

mod files;
mod html;
mod json;
mod markdown;
mod style;
mod summary;

pub use json::list_json;
pub use summary::Page;
