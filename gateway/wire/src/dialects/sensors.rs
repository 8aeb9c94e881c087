//! The Sensors dialect: `/sa` and `/sa.gif`, as the unmodified SDKs speak it
//! (measured with `sa-sdk-miniprogram` 1.22.7).
//!
//! `POST` of `data_list=` or `data=` (URL-encoded base64 JSON; with `gzip=1`
//! base64 of gzip) or `GET ?data=`. The media type says nothing: it is not
//! looked at.
//!
//! That SDK takes **any** status for success and then forgets the batch; only a
//! broken connection makes it keep and resend. So, where anything should be
//! resent, there is no answer: the connection is closed. What is final gets its
//! status.

mod decode;
mod form;
mod map;

use std::borrow::Cow;

use http::header::{CONTENT_TYPE, HeaderValue, REFERER};
use http::{Response, StatusCode};
use sluice_event::reason::Class;
use sluice_event::{Batch, Limits, Presented, Receipt, Refusal};

use super::{Action, Answer, Dialect, Route};
use crate::head::Head;
use crate::inflate::Inflater;
use crate::reply;

/// The project of an SDK that names none.
const PROJECT_DEFAULT: &str = "default";

/// A transparent GIF of one pixel.
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01D\0;";

/// The Sensors dialect.
#[derive(Debug, Clone, Copy)]
pub struct Sensors;

static ROUTES: [Route; 2] = [
    Route { path: "/sa", methods: &["POST", "GET"], action: Action::Collect, cors: true },
    Route { path: "/sa.gif", methods: &["POST", "GET"], action: Action::Collect, cors: true },
];

fn project(head: &Head) -> &str {
    head.query("project").filter(|project| !project.is_empty()).unwrap_or(PROJECT_DEFAULT)
}

// === impl Sensors ===

impl Dialect for Sensors {
    fn kind(&self) -> sluice_event::Dialect {
        sluice_event::Dialect::Sensors
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn presented<'h>(&self, head: &'h Head) -> Presented<'h> {
        Presented {
            sensors_project: Some((project(head), head.query("token").unwrap_or_default())),
            referer: head.header(&REFERER),
            peer: head.peer,
            ..Presented::default()
        }
    }

    fn check_head(&self, _head: &Head) -> Result<(), Refusal> {
        Ok(())
    }

    fn unwrap<'b>(
        &self,
        head: &Head,
        body: &'b [u8],
        limits: &Limits,
        inflater: &mut Inflater,
    ) -> Result<Cow<'b, [u8]>, Refusal> {
        let gzip = head.query("gzip") == Some("1");
        form::unwrap(body, gzip, limits.inflated_bytes_max, inflater)
    }

    fn decode<'b>(
        &self,
        head: &Head,
        payload: &'b [u8],
        limits: &Limits,
    ) -> Result<Batch<'b>, Refusal> {
        decode::decode(project(head), payload, limits)
    }

    fn answer(&self, head: &Head, _id: &str, outcome: Result<&Receipt, &Refusal>) -> Answer {
        match outcome {
            Ok(receipt) if receipt.retry > 0 => Answer::HangUp,
            Err(refusal) if refusal.reason.class() == Class::Passing => Answer::HangUp,
            Err(refusal) => Answer::Reply(reply::refusal(refusal)),
            Ok(_) if head.parts.uri.path() == "/sa.gif" => {
                let mut response = Response::new(reply::full(GIF));
                let gif = HeaderValue::from_static("image/gif");
                response.headers_mut().insert(CONTENT_TYPE, gif);
                Answer::Reply(response)
            }
            Ok(_) => Answer::Reply(reply::empty(StatusCode::OK)),
        }
    }
}
