//! Types that every module uses, and that depend on no module above them.

pub mod base64;
pub mod clock;
pub mod count;
pub mod diagnostic;
pub mod escape;
pub mod file;
pub mod heartbeat;
pub mod id;
pub mod include;
pub mod json;
pub mod json_plan;
pub mod jsonpath;
pub mod live;
mod manual_clock;
pub mod network;
pub mod password;
pub mod patterns;
pub mod private_file;
pub mod regex_cost;
pub mod secret;
pub mod shell_word;
pub mod throttle;
pub mod units;
pub mod url_path;
pub mod weak_secret;
pub mod written;
pub mod yaml;
