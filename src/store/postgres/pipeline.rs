//! Statements that travel together.
//!
//! A prepared statement is sent when its future is first polled. [`pipeline`] polls its futures in
//! their order and waits for all of them. After an error, later statements fail because of it: only
//! the first error says what went wrong.

use super::failure::Failure;

/// Sends statements in their order and waits for all answers. Each future sends one statement at most
/// before it waits.
macro_rules! pipeline {
    ($($future:expr),+ $(,)?) => {
        $crate::store::postgres::pipeline::first_error(tokio::join!(biased; $($future),+))
    };
}
pub(super) use pipeline;

/// Results of statements.
pub(super) trait Results {
    type Values;

    /// All values, or the first error.
    fn values(self) -> Result<Self::Values, Failure>;
}

/// The values of all results, or the first error.
pub(super) fn first_error<R: Results>(results: R) -> Result<R::Values, Failure> {
    results.values()
}

macro_rules! results {
    ($($name:ident)+) => {
        impl<$($name),+> Results for ($(Result<$name, Failure>,)+) {
            type Values = ($($name,)+);

            #[expect(non_snake_case, reason = "each type names its value")]
            fn values(self) -> Result<Self::Values, Failure> {
                let ($($name,)+) = self;
                Ok(($($name?,)+))
            }
        }
    };
}

results!(A B);
results!(A B C);
results!(A B C D);
results!(A B C D E);
results!(A B C D E F);
results!(A B C D E F G);
results!(A B C D E F G H);
results!(A B C D E F G H I);
results!(A B C D E F G H I J);
results!(A B C D E F G H I J K);
results!(A B C D E F G H I J K L);
