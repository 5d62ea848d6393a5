//! Adyen payment notifications, which carry a signature over eight fields in every item of the
//! body.
//!
//! Source: @adyen/api-library, `hmacValidator`;
//! <https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures>.
//! The key is hex. All other parts of the body are unsigned. Every item must be genuine, and every
//! item's MAC is a dedup key. A body that combines items of several earlier notifications is
//! therefore a duplicate.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::Scheme;
use crate::base::clock::Timestamp;
use crate::base::diagnostic::Diagnostics;
use crate::base::json_plan::Plan;
use crate::base::jsonpath::SingularPath;
use crate::base::weak_secret::SHORT;
use crate::event::{DedupKey, Received};
use crate::verify::context::SchemeContext;
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::keys::{ConfiguredKey, decide, sources};
use crate::verify::parts::mac::{Encoding, HashAlgorithm, KeyEncoding, Length, Mac, Tag};
use crate::verify::parts::secrets;
use crate::verify::parts::settings::{Settings, shape};
use crate::verify::parts::sign_body::Body;
use crate::verify::parts::source::{self, Unverified};
use crate::verify::proof::Proof;
use crate::verify::refusal::Refusal;

/// Maximum number of items. A body with more is refused. Adyen sends one.
const MAX_ITEMS: usize = 16;
/// Signed fields in their order, joined by [`SEPARATOR`]. A missing field is empty.
const FIELDS: [&[&str]; 8] = [
    &["pspReference"],
    &["originalReference"],
    &["merchantAccountCode"],
    &["merchantReference"],
    &["amount", "value"],
    &["amount", "currency"],
    &["eventCode"],
    &["success"],
];
/// Separator between the fields.
const SEPARATOR: &[u8] = b":";
/// Location of the items, for messages.
const PLACE: &str =
    "`$.notificationItems[*].NotificationRequestItem.additionalData.hmacSignature` of the body";

/// Compiled `adyen`.
#[derive(Debug)]
pub struct Adyen {
    /// Keys, one per secret. The first one signs.
    keys: Vec<ConfiguredKey<Mac>>,
    unverified: Unverified,
    plan: Plan,
}

shape! {
    /// Settings of `adyen`.
    AdyenShape {
        /// Source of the key, which is hex. May be a list during rotation.
        secret: IgnoredAny,
    }
}

impl Adyen {
    pub fn compile(
        settings: &Settings<'_>,
        context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        settings.read::<AdyenShape>(diagnostics)?;
        let mut keys = Vec::new();
        for (place, held) in secrets::secrets(settings, "secret", SHORT, context.keyring, diagnostics) {
            match KeyEncoding::Hex.decode(held.key.expose()) {
                Ok(key) => keys.extend(Mac::keyed(HashAlgorithm::Sha256, &key).map(|mac| held.with(mac))),
                Err(fault) => diagnostics.push(place.error("secret", format!("the key of Adyen is {fault}"))),
            }
        }
        (!keys.is_empty()).then_some(Self {
            keys,
            unverified: context.unverified(),
            plan: plan(),
        })
    }
}

impl Scheme for Adyen {
    /// Verifies every item.
    fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let body = source::unverified_json(received, &self.plan, self.unverified)?;
        let missing = || Refusal::MissingSignature {
            place: PLACE.to_owned(),
        };
        let items = body.get("notificationItems").and_then(Value::as_array);
        let items = items.filter(|items| !items.is_empty()).ok_or_else(missing)?;
        if items.len() > MAX_ITEMS {
            return Err(Refusal::UnreadableBody {
                needed: format!("a notification of at most {MAX_ITEMS} items"),
                too_large: false,
            });
        }
        let mut dedup_keys = Vec::new();
        let mut secret = None;
        for item in items {
            let item = item.get("NotificationRequestItem").ok_or_else(missing)?;
            let text = item
                .get("additionalData")
                .and_then(|data| data.get("hmacSignature"));
            let text = text.and_then(Value::as_str).ok_or_else(missing)?;
            let claimed = Encoding::Base64
                .decode(text.as_bytes(), Length::Exactly(HashAlgorithm::Sha256.length()))
                .map_err(|fault| Refusal::MalformedSignature {
                    place: PLACE.to_owned(),
                    fault,
                })?;
            let tags: Vec<Tag> = self.keys.iter().map(|held| tag(&held.key, item)).collect();
            let compared: Vec<bool> = tags.iter().map(|tag| tag.is(&claimed)).collect();
            let wrong = || Refusal::BadSignature {
                place: PLACE.to_owned(),
            };
            secret = Some(decide(self.keys.iter().zip(compared), received.at, wrong)?);
            dedup_keys.extend(tags.iter().map(|tag| DedupKey::signature(tag.expose())));
        }
        Ok(Proof {
            timestamp: None,
            dedup_keys,
            secret,
        })
    }

    /// Returns the body with the signature of its only item, as Adyen would send it.
    fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let held = self.keys.first().ok_or("there is no secret to sign with")?;
        let body: Value = serde_json::from_slice(draft.body)
            .map_err(|error| format!("Adyen signs items of a JSON body: {error}"))?;
        let items = body.get("notificationItems").and_then(Value::as_array);
        let item = match items.map(Vec::as_slice) {
            Some([item]) => item.get("NotificationRequestItem"),
            _ => None,
        };
        let item =
            item.ok_or("the body has no `$.notificationItems[0].NotificationRequestItem`, or more than one")?;
        let signature = Encoding::Base64.encode(tag(&held.key, item).expose());
        let path = SingularPath::parse(
            "$.notificationItems[0].NotificationRequestItem.additionalData.hmacSignature",
        )?;
        let mut changed = Body::new(draft);
        changed.put(&path, &Value::String(signature))?;
        Ok(Signed {
            body: changed.changed(),
            ..Signed::default()
        })
    }

    fn recognised_by(&self) -> String {
        "the signature of each item".to_owned()
    }

    fn reads_unverified(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        sources(&self.keys)
    }

    fn signs(&self) -> bool {
        true
    }
}

/// Parts of the body that are read: the signed fields and the signature of each item.
fn plan() -> Plan {
    let mut plan = Plan::default();
    let items = plan.name("notificationItems");
    // One more item shows that there are too many.
    for index in (0..=MAX_ITEMS).filter_map(|index| i64::try_from(index).ok()) {
        let item = items.index(index).name("NotificationRequestItem");
        for field in FIELDS {
            field.iter().fold(&mut *item, |plan, name| plan.name(name));
        }
        item.name("additionalData").name("hmacSignature");
    }
    plan
}

fn tag(key: &Mac, item: &Value) -> Tag {
    let mut mac = key.clone();
    for (index, field) in FIELDS.iter().enumerate() {
        if index > 0 {
            mac.update(SEPARATOR);
        }
        let value = field.iter().try_fold(item, |value, name| value.get(name));
        mac.update(&value.and_then(source::written).unwrap_or_default());
    }
    mac.finish()
}
