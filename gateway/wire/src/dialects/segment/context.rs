//! The `context` of a message, and the few members of `properties` and `traits`
//! that are mapped.

use std::borrow::Cow;

use sluice_event::batch::Page;
use sluice_event::{Envelope, Text};

use crate::dialects::time::offset_min;
use crate::json::{Broken, Cursor, Value};

/// What is read of a context.
#[derive(Debug, Default)]
pub(super) struct Context<'b> {
    library_name: Text<'b>,
    library_version: Text<'b>,
    app_namespace: Text<'b>,
    app_version: Text<'b>,
    pub device_id: Text<'b>,
    brand: Text<'b>,
    model: Text<'b>,
    os: Text<'b>,
    os_version: Text<'b>,
    screen_width: Text<'b>,
    screen_height: Text<'b>,
    network: &'static str,
    locale: Text<'b>,
    time_zone: Text<'b>,
    platform: Text<'b>,
    env: Text<'b>,
    pub session_id: Text<'b>,
    pub page: Place<'b>,
    /// The traits, an object's text; empty where there are none.
    pub traits: &'b str,
}

/// The words by which a page is told.
#[derive(Debug, Default)]
pub(super) struct Place<'b> {
    path: Text<'b>,
    url: Text<'b>,
    search: Text<'b>,
    title: Text<'b>,
    referrer: Text<'b>,
}

/// Walks an object; a value that is none is passed over.
pub(super) fn members<'b, F>(cursor: &mut Cursor<'b>, each: F) -> Result<(), Broken>
where
    F: FnMut(&mut Cursor<'b>, &str) -> Result<(), Broken>,
{
    if cursor.peek() == Some(b'{') { cursor.object(each) } else { cursor.skip() }
}

/// A string, or a number as it was written; of anything else nothing.
pub(super) fn scalar<'b>(cursor: &mut Cursor<'b>) -> Result<Text<'b>, Broken> {
    Ok(match cursor.value()? {
        Value::Text(text) => text,
        Value::Number(digits) => Cow::Borrowed(digits),
        _ => Text::default(),
    })
}

fn fill<'b>(slot: &mut Text<'b>, value: &Text<'b>) {
    if slot.is_empty() {
        slot.clone_from(value);
    }
}

// === impl Context ===

impl<'b> Context<'b> {
    /// Reads the value at the cursor.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        members(cursor, |cursor, key| {
            match key {
                "library" => self.library(cursor)?,
                "app" => self.app(cursor)?,
                "device" => self.device(cursor)?,
                "os" => self.os(cursor)?,
                "screen" => self.screen(cursor)?,
                "network" => self.network(cursor)?,
                "page" => members(cursor, |cursor, key| self.page.read(cursor, key))?,
                "traits" => {
                    if let Value::Object(object) = cursor.value()? {
                        self.traits = object;
                    }
                }
                "locale" => self.locale = scalar(cursor)?,
                "timezone" => self.time_zone = scalar(cursor)?,
                "platform" => self.platform = scalar(cursor)?,
                "env" => self.env = scalar(cursor)?,
                "sessionId" => self.session_id = scalar(cursor)?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn library(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        members(cursor, |cursor, key| {
            match key {
                "name" => self.library_name = scalar(cursor)?,
                "version" => self.library_version = scalar(cursor)?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn app(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        members(cursor, |cursor, key| {
            match key {
                "namespace" => self.app_namespace = scalar(cursor)?,
                "version" => self.app_version = scalar(cursor)?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn device(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        members(cursor, |cursor, key| {
            match key {
                "id" => self.device_id = scalar(cursor)?,
                "manufacturer" => self.brand = scalar(cursor)?,
                "model" => self.model = scalar(cursor)?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn os(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        members(cursor, |cursor, key| {
            match key {
                "name" => self.os = scalar(cursor)?,
                "version" => self.os_version = scalar(cursor)?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn screen(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        members(cursor, |cursor, key| {
            match key {
                "width" => self.screen_width = scalar(cursor)?,
                "height" => self.screen_height = scalar(cursor)?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    /// The kinds are told by flags of their own.
    fn network(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        members(cursor, |cursor, key| {
            let kind = ["wifi", "cellular", "bluetooth"].into_iter().find(|kind| *kind == key);
            if let (Some(kind), Value::Bool(true)) = (kind, cursor.value()?) {
                self.network = kind;
            }
            Ok(())
        })
    }

    /// Fills what is still empty in the envelope. `at_ms` is the moment for which
    /// the time zone's offset is taken.
    pub(super) fn envelope(&self, envelope: &mut Envelope<'b>, at_ms: i64) {
        fill(&mut envelope.sdk_name, &self.library_name);
        fill(&mut envelope.sdk_version, &self.library_version);
        fill(&mut envelope.app_version, &self.app_version);
        fill(&mut envelope.host_app, &self.app_namespace);
        fill(&mut envelope.platform, &self.platform);
        fill(&mut envelope.env, &self.env);
        let device = &mut envelope.device;
        fill(&mut device.brand, &self.brand);
        fill(&mut device.model, &self.model);
        fill(&mut device.os, &self.os);
        fill(&mut device.os_version, &self.os_version);
        fill(&mut device.lang, &self.locale);
        fill(&mut device.network, &Cow::Borrowed(self.network));
        if device.screen.is_empty() && !self.screen_width.is_empty() {
            device.screen = Cow::Owned(format!("{}x{}", self.screen_width, self.screen_height));
        }
        if envelope.tz_offset_min == 0 && !self.time_zone.is_empty() {
            envelope.tz_offset_min = offset_min(&self.time_zone, at_ms).unwrap_or(0);
        }
    }
}

// === impl Place ===

impl<'b> Place<'b> {
    /// Takes the value at the cursor if its key is one of a page.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'b>, key: &str) -> Result<(), Broken> {
        let slot = match key {
            "path" => &mut self.path,
            "url" => &mut self.url,
            "search" => &mut self.search,
            "title" => &mut self.title,
            "referrer" => &mut self.referrer,
            _ => return cursor.skip(),
        };
        *slot = scalar(cursor)?;
        Ok(())
    }

    /// The page: what is said of it, then what its URL says, then its name.
    pub(super) fn page(self, name: &Text<'b>) -> Option<Page<'b>> {
        let Self { path, url, search, title, referrer } = self;
        let (url_path, url_query) = parts(&url);
        let query = search.strip_prefix('?').unwrap_or(&search);
        let query = if query.is_empty() { url_query } else { query };
        let page = Page {
            query: Cow::Owned(query.to_owned()),
            path: match (path.is_empty(), url_path.is_empty()) {
                (false, _) => path,
                (true, false) => Cow::Owned(url_path.to_owned()),
                (true, true) => name.clone(),
            },
            title: if title.is_empty() { name.clone() } else { title },
            referrer,
        };
        Some(page).filter(|page| *page != Page::default())
    }
}

/// Path and query of a URL, without its scheme, host and fragment.
fn parts(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    let (before, query) = url.split_once('?').unwrap_or((url, ""));
    let path = match before.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => before,
    };
    (path, query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_urls() {
        assert_eq!(parts("https://a.b:1/c/d?e=f?g#h?i"), ("/c/d", "e=f?g"));
        assert_eq!(parts("https://a.b"), ("", ""));
        assert_eq!(parts("pages/index?x"), ("pages/index", "x"));
        assert_eq!(parts("://?"), ("", ""));
        assert_eq!(parts(""), ("", ""));
    }
}
