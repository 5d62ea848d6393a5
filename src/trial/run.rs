//! Runs the tests of a suite, one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::case::TestCase;
use super::compare::compare;
use super::coverage::Coverage;
use super::failure::{Failure, Failures};
use super::found::Found;
use super::outcomes::OutcomeScript;
use super::suite::Suite;
use super::world::World;
use crate::base::count::counted;
use crate::report::Metrics;

/// Results of the tests that ran.
#[derive(Debug)]
pub struct SuiteResult {
    pub tests: Vec<TestResult>,
    pub coverage: Coverage,
}

/// Result of one test.
#[derive(Debug)]
pub struct TestResult {
    pub name: String,
    /// Line of the test.
    pub line: usize,
    pub failures: Vec<Failure>,
    pub duration: Duration,
}

impl Suite {
    /// Runs the tests whose names are `wanted`.
    pub fn run(&self, wanted: impl Fn(&str) -> bool) -> std::io::Result<SuiteResult> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let metrics = Arc::<Metrics>::default();
        let mut coverage = Coverage::of(&self.rules());
        let mut tests = Vec::new();
        for test in self.tests.iter().filter(|test| wanted(&test.name)) {
            let (failures, duration) = runtime.block_on(async {
                let begun = Instant::now();
                let failures = self.run_test(test, &metrics, &mut coverage).await;
                (failures, begun.elapsed())
            });
            tests.push(TestResult {
                name: test.name.clone(),
                line: test.origin.line_column().0,
                failures,
                duration,
            });
        }
        Ok(SuiteResult { tests, coverage })
    }

    async fn run_test(
        &self,
        test: &TestCase,
        metrics: &Arc<Metrics>,
        coverage: &mut Coverage,
    ) -> Vec<Failure> {
        let script = OutcomeScript::new(test.outcomes.clone());
        let mut world = World::new(&self.rules, metrics, script, test.now);
        let mut failures = Failures::default();
        let mut sent = Vec::new();
        for (number, step) in test.steps.iter().enumerate() {
            let made = async {
                world.pass(step.after).await?;
                world.send(number, &step.request, &step.outcomes).await
            };
            match made.await {
                Ok(one) => sent.push((step, one)),
                Err(why) => {
                    failures.add(&step.request.place, "request", String::new(), why);
                    return failures.0;
                }
            }
        }
        if let Err(why) = world.end().await {
            let place = test.steps.last().map(|step| &step.expect.place);
            if let Some(place) = place {
                failures.add(place, "test", String::new(), why);
            }
            return failures.0;
        }
        let rules = self.rules();
        let several = sent.len() > 1;
        for (number, (step, one)) in sent.into_iter().enumerate() {
            let found = match Found::of(&world, (&rules, &self.folder), number, one).await {
                Ok(found) => found,
                Err(why) => {
                    failures.add(&step.expect.place, "test", String::new(), why);
                    continue;
                }
            };
            coverage.add(&rules, &found);
            let mut of_step = Failures::default();
            compare(&step.expect, &found, &rules, &mut of_step);
            for mut failure in of_step.0 {
                if several {
                    failure.what = format!("step {}: {}", number + 1, failure.what);
                }
                failures.push(failure);
            }
        }
        for (attempts, number, place) in world.script.unused() {
            let found = format!("not used: {attempts} had only {}", counted(number, "attempt"));
            failures.add(&place, "outcomes", String::new(), found);
        }
        for (place, why) in &world.log.lock().misfits {
            failures.add(place, "outcomes", String::new(), why.clone());
        }
        failures.0
    }
}
