//! Finds what a key is for, in time that does not depend on how much of a
//! guessed key is right.
//!
//! Keys are kept as SHA-256 digests. The first eight bytes of a digest pick a
//! bucket (an attacker cannot steer a digest towards a secret's), the whole
//! digest is then compared in constant time.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sluice_event::service::KeyKind;
use subtle::ConstantTimeEq;

use crate::config::{AppConfig, KEY_BYTES_MAX};
use crate::secret::Secret;
use crate::tenant::{Tenant, Terms};

/// SHA-256 of a key.
type KeyDigest = [u8; 32];

/// What a key is for.
#[derive(Clone)]
pub(crate) enum Use {
    /// Reports under these terms.
    Report(Arc<Terms>),
    /// Asks this app's questions.
    Read(Arc<Tenant>),
}

/// A Sensors project: whose it is, and its token where it has one.
pub(crate) struct Project {
    token: Option<KeyDigest>,
    pub(crate) terms: Arc<Terms>,
}

/// All keys, tokens, projects and foreign app ids of a config.
#[derive(Default)]
pub(crate) struct Keyring {
    keys: HashMap<u64, Vec<(KeyDigest, Use)>>,
    projects: HashMap<String, Project>,
    datarangers: HashMap<String, Arc<Terms>>,
}

// === impl Keyring ===

impl Keyring {
    /// Adds what a valid config gives to an app.
    pub(crate) fn add(&mut self, tenant: &Arc<Tenant>, config: &AppConfig) {
        let terms = |kind: KeyKind, hmac_secret: Option<&Secret>| {
            let (tenant, hmac_secret) = (Arc::clone(tenant), hmac_secret.cloned());
            Arc::new(Terms { tenant, kind, hmac_secret })
        };
        let write = terms(KeyKind::Write, None);
        for key in &config.write_keys {
            self.insert(key, Use::Report(Arc::clone(&write)));
        }
        for server in &config.server_keys {
            let terms = terms(KeyKind::Server, server.hmac_secret.as_ref());
            self.insert(&server.key, Use::Report(terms));
        }
        for token in &config.read_tokens {
            self.insert(token, Use::Read(Arc::clone(tenant)));
        }
        for sensors in &config.sensors_projects {
            let token = sensors.token.as_ref().map(|token| digest(token.expose()));
            let project = Project { token, terms: Arc::clone(&write) };
            self.projects.insert(sensors.project.clone(), project);
        }
        for app_id in &config.datarangers_app_ids {
            self.datarangers.insert(app_id.clone(), Arc::clone(&write));
        }
    }

    fn insert(&mut self, key: &Secret, what: Use) {
        let digest = digest(key.expose());
        self.keys.entry(bucket(&digest)).or_default().push((digest, what));
    }

    /// What a key is for; `None`: it is not known.
    pub(crate) fn find(&self, key: &str) -> Option<&Use> {
        if key.len() > KEY_BYTES_MAX {
            return None;
        }
        let digest = digest(key);
        let held = self.keys.get(&bucket(&digest))?;
        held.iter().find(|(known, _)| same(known, &digest)).map(|(_, what)| what)
    }

    /// A Sensors project by name.
    pub(crate) fn project(&self, name: &str) -> Option<&Project> {
        self.projects.get(name)
    }

    /// The terms of a DataRangers `app_id`.
    pub(crate) fn datarangers(&self, app_id: &str) -> Option<&Arc<Terms>> {
        self.datarangers.get(app_id)
    }
}

// === impl Project ===

impl Project {
    /// Whether requests with this token may report into the project.
    pub(crate) fn takes(&self, token: &str) -> bool {
        match &self.token {
            None => true,
            Some(known) => token.len() <= KEY_BYTES_MAX && same(known, &digest(token)),
        }
    }
}

fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

fn bucket(digest: &KeyDigest) -> u64 {
    digest.iter().take(8).fold(0, |bucket, &byte| bucket << 8 | u64::from(byte))
}

/// Compares in constant time.
fn same(a: &KeyDigest, b: &KeyDigest) -> bool {
    bool::from(a[..].ct_eq(&b[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_in_one_bucket_are_told_apart() {
        let (a, mut b) = (digest("a"), digest("a"));
        b[31] ^= 1;
        assert_eq!(bucket(&a), bucket(&b));
        assert!(same(&a, &a) && !same(&a, &b));
        assert_ne!(bucket(&a), bucket(&digest("b")));
    }
}
