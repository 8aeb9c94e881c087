//! A packet's `header` and `user` → the envelope, and who an event is of.
//!
//! What has another type than expected is the same as absent: the SDK lets
//! apps set any of these.

use std::borrow::Cow;

use sluice_event::{Envelope, Text};

use crate::json::{Broken, Cursor, Value};

/// `custom_platform`, by host.
const PLATFORMS: [(&str, &str); 12] = [
    ("jdMiniProduct", "jd"),
    ("miniProduct", "wx"),
    ("aliMiniProduct", "my"),
    ("ttMiniProduct", "tt"),
    ("swanMiniProduct", "swan"),
    ("qqMiniProduct", "qq"),
    ("ksMiniProduct", "ks"),
    ("xhsMiniProduct", "xhs"),
    ("ddMiniProduct", "dd"),
    ("tbMiniProduct", "tb"),
    ("hwh5MiniProduct", "we"),
    ("uniMiniProduct", "uni"),
];

/// One build of the SDK says `miniProduct` of this host too, with its number.
const XHS_MP_PLATFORM: &str = "11";

/// The words of the hosts for what is released.
const RELEASED: [&str; 3] = ["release", "production", "current"];

/// What is read of `header`.
#[derive(Debug, Default)]
pub(super) struct Header<'b> {
    pub app_id: Text<'b>,
    pub openid: Text<'b>,
    pub unionid: Text<'b>,
    app_version: Text<'b>,
    sdk_name: Text<'b>,
    sdk_version: Text<'b>,
    device_model: Text<'b>,
    device_brand: Text<'b>,
    os_name: Text<'b>,
    os_version: Text<'b>,
    access: Text<'b>,
    language: Text<'b>,
    resolution: Text<'b>,
    tz_offset: Text<'b>,
    custom_platform: Text<'b>,
    mp_platform: Text<'b>,
    host_app: Text<'b>,
    env: Text<'b>,
}

/// What is read of `user`.
#[derive(Debug, Default)]
pub(super) struct User<'b> {
    web_id: Text<'b>,
    anonymous_id: Text<'b>,
    user_unique_id: Text<'b>,
    user_id: Text<'b>,
}

/// A string, or a number as it was written, so that no digit is lost; `None`
/// where it is neither, empty for null.
pub(super) fn scalar<'b>(cursor: &mut Cursor<'b>) -> Result<Option<Text<'b>>, Broken> {
    Ok(match cursor.value()? {
        Value::Text(text) => Some(text),
        Value::Number(digits) => Some(Cow::Borrowed(digits)),
        Value::Null => Some(Text::default()),
        _ => None,
    })
}

/// Walks an object; anything else is passed over.
fn within<'b, F>(cursor: &mut Cursor<'b>, each: F) -> Result<(), Broken>
where
    F: FnMut(&mut Cursor<'b>, &str) -> Result<(), Broken>,
{
    if cursor.peek() == Some(b'{') { cursor.object(each) } else { cursor.skip() }
}

// === impl Header ===

impl<'b> Header<'b> {
    pub(super) fn read(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        within(cursor, |cursor, key| {
            if key == "custom" {
                return within(cursor, |cursor, key| self.field(cursor, key, true));
            }
            self.field(cursor, key, false)
        })
    }

    fn field(&mut self, cursor: &mut Cursor<'b>, key: &str, custom: bool) -> Result<(), Broken> {
        let slot = match (custom, key) {
            (false, "app_id") => &mut self.app_id,
            (false, "app_version") => &mut self.app_version,
            (false, "_sdk_name") => &mut self.sdk_name,
            (false, "_sdk_version" | "sdk_version") => &mut self.sdk_version,
            (false, "device_model") => &mut self.device_model,
            (false, "device_brand") => &mut self.device_brand,
            (false, "os_name") => &mut self.os_name,
            (false, "os_version") => &mut self.os_version,
            (false, "access") => &mut self.access,
            (false, "language") => &mut self.language,
            (false, "resolution") => &mut self.resolution,
            (false, "tz_offset") => &mut self.tz_offset,
            (false, "wechat_openid") => &mut self.openid,
            (false, "wechat_unionid") => &mut self.unionid,
            (true, "custom_platform") => &mut self.custom_platform,
            (true, "mp_platform") => &mut self.mp_platform,
            (true, "miniprogram_appid") => &mut self.host_app,
            (true, "miniprogram_env_version") => &mut self.env,
            _ => return cursor.skip(),
        };
        *slot = scalar(cursor)?.unwrap_or_default();
        Ok(())
    }

    /// Fills what is still empty in the envelope.
    pub(super) fn fill(&self, envelope: &mut Envelope<'b>) {
        let device = &mut envelope.device;
        for (slot, value) in [
            (&mut envelope.app_version, &self.app_version),
            (&mut envelope.sdk_name, &self.sdk_name),
            (&mut envelope.sdk_version, &self.sdk_version),
            (&mut envelope.host_app, &self.host_app),
            (&mut device.model, &self.device_model),
            (&mut device.brand, &self.device_brand),
            (&mut device.os, &self.os_name),
            (&mut device.os_version, &self.os_version),
            (&mut device.network, &self.access),
            (&mut device.lang, &self.language),
            (&mut device.screen, &self.resolution),
        ] {
            if slot.is_empty() {
                slot.clone_from(value);
            }
        }
        if envelope.platform.is_empty() {
            envelope.platform = Cow::Borrowed(self.platform());
        }
        if envelope.env.is_empty() && !RELEASED.contains(&&*self.env) {
            envelope.env.clone_from(&self.env);
        }
        if envelope.tz_offset_min == 0 {
            // Seconds, in JavaScript's sign: from local time to UTC.
            let seconds: i32 = self.tz_offset.parse().unwrap_or(0);
            envelope.tz_offset_min = (seconds / 60).saturating_neg();
        }
    }

    fn platform(&self) -> &'static str {
        let named = PLATFORMS.iter().find(|(name, _)| *name == self.custom_platform);
        match named.map(|(_, host)| *host) {
            Some("wx") if self.mp_platform == XHS_MP_PLATFORM => "xhs",
            host => host.unwrap_or_default(),
        }
    }
}

// === impl User ===

impl<'b> User<'b> {
    pub(super) fn read(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        within(cursor, |cursor, key| {
            let slot = match key {
                "web_id" => &mut self.web_id,
                "anonymous_id" => &mut self.anonymous_id,
                "user_unique_id" => &mut self.user_unique_id,
                "user_id" => &mut self.user_id,
                _ => return cursor.skip(),
            };
            *slot = scalar(cursor)?.unwrap_or_default();
            Ok(())
        })
    }

    /// The device: the web id, or what stands in its place.
    pub(super) fn device_id(&self) -> &Text<'b> {
        let all = [&self.web_id, &self.anonymous_id, &self.user_unique_id];
        all.into_iter().find(|id| !id.is_empty()).unwrap_or(&self.user_id)
    }

    /// The user, where one has logged in. Before, the SDK repeats the web id.
    pub(super) fn user_id(&self) -> Text<'b> {
        let all = [&self.user_unique_id, &self.user_id];
        let named = all.into_iter().find(|id| !id.is_empty() && *id != self.device_id());
        named.cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(header: &str) -> Envelope<'_> {
        let (mut read, mut envelope) = (Header::default(), Envelope::default());
        read.read(&mut Cursor::new(header)).expect(header);
        read.fill(&mut envelope);
        envelope
    }

    #[test]
    fn hosts_have_our_words() {
        for (custom, expected) in [
            (r#"{"custom_platform":"jdMiniProduct","mp_platform":"8"}"#, "jd"),
            (r#"{"custom_platform":"miniProduct","mp_platform":"0"}"#, "wx"),
            (r#"{"custom_platform":"miniProduct","mp_platform":"11"}"#, "xhs"),
            (r#"{"custom_platform":"aliMiniProduct","mp_platform":1}"#, "my"),
            (r#"{"custom_platform":["x"]}"#, ""),
            (r#""x""#, ""),
        ] {
            let header = format!(r#"{{"custom":{custom},"platform":"mp"}}"#);
            assert_eq!(envelope(&header).platform, expected, "{custom}");
        }
    }

    #[test]
    fn only_what_is_not_released_says_so() {
        for (sent, expected) in [("release", ""), ("production", ""), ("trial", "trial")] {
            let header = format!(r#"{{"custom":{{"miniprogram_env_version":"{sent}"}}}}"#);
            assert_eq!(envelope(&header).env, expected);
        }
    }

    #[test]
    fn offsets_are_turned_around() {
        assert_eq!(envelope(r#"{"tz_offset":-28800}"#).tz_offset_min, 480);
        assert_eq!(envelope(r#"{"tz_offset":"x"}"#).tz_offset_min, 0);
        assert_eq!(envelope(r#"{"tz_offset":-2147483648}"#).tz_offset_min, 35_791_394);
    }

    #[test]
    fn a_user_is_one_who_is_not_the_device() {
        for (user, device_id, user_id) in [
            (r#"{"web_id":"7","user_unique_id":"7"}"#, "7", ""),
            (r#"{"web_id":7,"user_unique_id":"u"}"#, "7", "u"),
            (r#"{"anonymous_id":"a","user_unique_id":"a","user_id":"9"}"#, "a", "9"),
            (r#"{"user_unique_id":"u"}"#, "u", ""),
            (r#"{"user_id":5}"#, "5", ""),
            ("null", "", ""),
        ] {
            let mut read = User::default();
            read.read(&mut Cursor::new(user)).expect(user);
            assert_eq!((&**read.device_id(), &*read.user_id()), (device_id, user_id), "{user}");
        }
    }
}
