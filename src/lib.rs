//! hookyard: the map is drawn when the rooms stand.

pub mod clock;
pub mod diagnostic;
pub mod live;
pub mod secret;
pub mod template;
pub mod units;
pub mod yaml;

pub mod act;
pub mod matching;
pub mod payload;
pub mod store;
pub mod verify;
