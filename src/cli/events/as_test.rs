//! `hookyard events capture --as-test`: an arrival as a test of the rules, with what became of it.

use super::capture::{Arguments, write};
use super::{find, look};
use crate::base::escape;
use crate::cli::location::unusable;
use crate::cli::{NO, YES, complain, fail};
use crate::history::{as_test, event_of, stored};
use crate::store::Place;

pub fn run(place: &Place, arguments: &Arguments) -> Result<u8, u8> {
    let history = look(place)?;
    let id = event_of(find(place, &history, &arguments.id)?);
    let Some(stored) = stored(&history, id).map_err(|error| unusable(place, &error))? else {
        complain(&format!("the arrival `{id}` is gone"));
        return Err(NO);
    };
    let test = as_test(&stored).map_err(|why| fail(&why))?;
    write(arguments.output.as_deref(), escape::text(&test).as_bytes()).map_err(|message| fail(&message))?;
    Ok(YES)
}
