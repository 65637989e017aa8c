//! What the machine remembers of the steps that were carried out: the plan, the evidence, and what can back a claim.

use std::collections::{BTreeMap, BTreeSet};

use nightshift_protocol::{
    CriterionVerdict, Evidence, EvidenceSource, Image, Plan, PlanStepState, ResultPart, StepId, ToolOutcome,
    Verdict,
};

use crate::output::last_characters;
use crate::tools::{Claim, EditAction, Handover, Judgement, ShellMode, ShellRequest, ToolRequest};

/// Characters of a command's output kept for evidence, as [`EvidenceSource::Command`] promises.
const OUTPUT_TAIL: usize = 4_000;

/// Names of files kept of those that were changed.
const FILES: usize = 300;

/// Plan, evidence, and what is known of each step.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record {
    plan: Plan,
    evidence: Vec<Evidence>,
    files: BTreeSet<String>,
    steps: BTreeMap<StepId, Known>,
    /// Names of feedback that wants an answer.
    asked: Vec<String>,
}

/// What is known of a step that was carried out.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    Picture(Image),
    Command { command: String, exit_code: Option<i32>, output_tail: String },
    Job { command: String },
    Other,
}

/// Why a request that points at a step, or wants to end the work, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfounded {
    #[error("There is no step {0} with a result yet. A step's number stands at the end of its result.")]
    NoSuchStep(StepId),
    #[error("Step {0} backs nothing: name a step with a screenshot, or a shell command that ended.")]
    NoBacking(StepId),
    #[error(
        "Step {0} still ran when it returned: read it with shell_output until it ends, and name that step."
    )]
    StillRunning(StepId),
    #[error("Step {0} started no background command. Name the step that did.")]
    NoJob(StepId),
    #[error(
        "Not finished: the plan has open steps ({0}). Do them, or drop those that are not needed, and record the plan."
    )]
    OpenSteps(String),
    #[error(
        "Not finished: no evidence was noted. Note with the evidence tool which steps back the acceptance criteria."
    )]
    NoEvidence,
    #[error(
        "Not finished: these pieces of feedback have no answer: {0}. Call finish with an entry in answers for each."
    )]
    Unanswered(String),
    #[error("There is no criterion {number}: the task has {}.", match of { 0 => "no numbered ones".to_owned(), of => format!("1 to {of}") })]
    NoSuchCriterion { number: u32, of: u32 },
    #[error(
        "Not finished: no evidence names acceptance criterion {0}. Note evidence with its number, or say in not_verified \
         why it cannot be shown."
    )]
    NotShown(String),
    #[error("Not taken: each of the criteria 1 to {of} is judged once, and these are not: {missing}.")]
    NotJudged { of: u32, missing: String },
    #[error(
        "Not taken: criterion {0} is judged without a step. Name the step of yours that shows it, or say notVerifiable."
    )]
    NoStep(u32),
}

impl Record {
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn set_plan(&mut self, plan: Plan) {
        self.plan = plan;
    }

    pub(crate) fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// The files that were changed by the edit tool, at most 300.
    pub(crate) fn files(&self) -> &BTreeSet<String> {
        &self.files
    }

    /// Notes a step's result.
    pub(crate) fn note(
        &mut self,
        step: StepId,
        request: ToolRequest,
        outcome: ToolOutcome,
        content: &[ResultPart],
        exit_code: Option<i32>,
    ) {
        let ended =
            |command: String| Known::Command { command, exit_code, output_tail: output_tail(content) };
        let known = match (outcome, request) {
            (
                ToolOutcome::Done,
                ToolRequest::Shell(ShellRequest { command, mode: ShellMode::Background }),
            ) => Known::Job { command },
            (_, ToolRequest::Shell(ShellRequest { command, mode: ShellMode::Foreground { .. } }))
                if outcome == ToolOutcome::Done || exit_code.is_some() =>
            {
                ended(command)
            }
            (_, ToolRequest::ShellOutput { job }) => match self.steps.get(&job) {
                Some(Known::Job { command }) if exit_code.is_some() => ended(command.clone()),
                Some(Known::Job { .. } | Known::Picture(_) | Known::Command { .. } | Known::Other) | None => {
                    Known::Other
                }
            },
            (ToolOutcome::Done, ToolRequest::Plan(plan)) => {
                self.plan = plan;
                Known::Other
            }
            (ToolOutcome::Done, ToolRequest::Evidence(evidence)) => {
                self.evidence.push(evidence);
                Known::Other
            }
            (ToolOutcome::Done, ToolRequest::Edit(edit)) => {
                if !matches!(edit.action, EditAction::View(_)) && self.files.len() < FILES {
                    self.files.insert(edit.path);
                }
                Known::Other
            }
            (ToolOutcome::Done, ToolRequest::Browser(action)) => {
                // It has no exit status of its own: that it was done is success.
                let output_tail = output_tail(content);
                let known = |command| Known::Command { command, exit_code: Some(0), output_tail };
                action.shows().map_or(Known::Other, known)
            }
            // The pictures of a server are its own, and show no screen.
            (ToolOutcome::Done, ToolRequest::Mcp(_)) => Known::Other,
            (ToolOutcome::Done, ToolRequest::Computer(_)) => {
                newest_picture(content).map_or(Known::Other, |image| Known::Picture(image.clone()))
            }
            (ToolOutcome::Done | ToolOutcome::Failed, _) => Known::Other,
        };
        self.steps.insert(step, known);
    }

    /// Turns a claim into evidence with what its step recorded. The task has `criteria` acceptance criteria.
    pub(crate) fn back(&self, claim: Claim, criteria: u32) -> Result<Evidence, Unfounded> {
        let Claim { claim, criterion, step, label } = claim;
        if let Some(number) = criterion.filter(|number| *number > criteria) {
            return Err(Unfounded::NoSuchCriterion { number, of: criteria });
        }
        Ok(Evidence { claim, criterion, source: self.source(step, label)? })
    }

    fn source(&self, step: StepId, label: Option<String>) -> Result<EvidenceSource, Unfounded> {
        Ok(match self.steps.get(&step).ok_or(Unfounded::NoSuchStep(step))? {
            Known::Picture(image) => EvidenceSource::Screenshot {
                step,
                label: label.unwrap_or_else(|| format!("step {step}")),
                image: image.clone(),
            },
            Known::Command { command, exit_code, output_tail } => EvidenceSource::Command {
                step,
                command: command.clone(),
                exit_code: *exit_code,
                output_tail: output_tail.clone(),
            },
            Known::Job { .. } => return Err(Unfounded::StillRunning(step)),
            Known::Other => return Err(Unfounded::NoBacking(step)),
        })
    }

    /// Turns a critic's judgements into verdicts with what their steps recorded: one for each of `criteria`, in order.
    pub(crate) fn judge(
        &self,
        mut judgements: Vec<Judgement>,
        criteria: u32,
    ) -> Result<Vec<CriterionVerdict>, Unfounded> {
        judgements.sort_by_key(|judgement| judgement.criterion);
        if let Some(odd) = judgements.iter().find(|judgement| judgement.criterion > criteria) {
            return Err(Unfounded::NoSuchCriterion { number: odd.criterion, of: criteria });
        }
        let once = |number: &u32| judgements.iter().filter(|one| one.criterion == *number).count() == 1;
        let missing: Vec<String> =
            (1..=criteria).filter(|number| !once(number)).map(|number| number.to_string()).collect();
        if !missing.is_empty() {
            return Err(Unfounded::NotJudged { of: criteria, missing: missing.join(", ") });
        }
        judgements.into_iter().map(|judgement| self.judged(judgement)).collect()
    }

    fn judged(&self, judgement: Judgement) -> Result<CriterionVerdict, Unfounded> {
        let Judgement { criterion, verdict, words, step } = judgement;
        let evidence = match step {
            Some(step) => Some(self.source(step, None)?),
            None if verdict == Verdict::NotVerifiable => None,
            None => return Err(Unfounded::NoStep(criterion)),
        };
        Ok(CriterionVerdict { criterion, verdict, words, evidence })
    }

    /// The steps that started background commands.
    pub(crate) fn jobs(&self) -> Vec<StepId> {
        let jobs = self.steps.iter().filter(|(_, known)| matches!(known, Known::Job { .. }));
        jobs.map(|(step, _)| *step).collect()
    }

    /// Whether `step` started a background command.
    pub(crate) fn job(&self, step: StepId) -> Result<(), Unfounded> {
        match self.steps.get(&step) {
            Some(Known::Job { .. }) => Ok(()),
            Some(Known::Picture(_) | Known::Command { .. } | Known::Other) | None => {
                Err(Unfounded::NoJob(step))
            }
        }
    }

    /// Wants an answer to each of these before the work may be handed over again.
    pub(crate) fn ask(&mut self, names: &[String]) {
        self.asked = names.to_vec();
    }

    /// Whether the work may be handed over. What no evidence shows has at least to be admitted.
    pub(crate) fn may_finish(&self, handover: &Handover, criteria: u32) -> Result<(), Unfounded> {
        let unanswered = |name: &&String| !handover.answers.iter().any(|answer| answer.name == **name);
        let unanswered: Vec<&str> = self.asked.iter().filter(unanswered).map(String::as_str).collect();
        if !unanswered.is_empty() {
            return Err(Unfounded::Unanswered(unanswered.join(", ")));
        }
        let is_open = |state| matches!(state, PlanStepState::Pending | PlanStepState::Active);
        let open: Vec<&str> = self
            .plan
            .steps
            .iter()
            .filter(|step| is_open(step.state))
            .map(|step| step.title.as_str())
            .collect();
        if !open.is_empty() {
            return Err(Unfounded::OpenSteps(open.join("; ")));
        }
        if self.evidence.is_empty() {
            return Err(Unfounded::NoEvidence);
        }
        let shown = |number: &u32| self.evidence.iter().any(|evidence| evidence.criterion == Some(*number));
        let not_shown: Vec<String> =
            (1..=criteria).filter(|number| !shown(number)).map(|number| number.to_string()).collect();
        if !not_shown.is_empty() && handover.not_verified.trim().is_empty() {
            return Err(Unfounded::NotShown(not_shown.join(", ")));
        }
        Ok(())
    }
}

fn newest_picture(content: &[ResultPart]) -> Option<&Image> {
    content.iter().rev().find_map(|part| match part {
        ResultPart::Image { image } => Some(image),
        ResultPart::Text { .. } => None,
    })
}

fn output_tail(content: &[ResultPart]) -> String {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|part| match part {
            ResultPart::Text { text } => Some(text.as_str()),
            ResultPart::Image { .. } => None,
        })
        .collect();
    last_characters(&texts.join("\n"), OUTPUT_TAIL).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::ComputerAction;
    use nightshift_protocol::PlanStep;

    fn step(text: &str) -> StepId {
        text.parse().unwrap()
    }

    fn image() -> Image {
        let artifact = "a".repeat(64).parse().unwrap();
        Image { artifact, media_type: "image/png".to_owned(), width: 1280, height: 800, bytes: 1_000 }
    }

    fn text(text: &str) -> Vec<ResultPart> {
        vec![ResultPart::Text { text: text.to_owned() }]
    }

    fn shell(mode: ShellMode) -> ToolRequest {
        ToolRequest::Shell(ShellRequest { command: "npm test".to_owned(), mode })
    }

    fn claim(of: &str) -> Claim {
        Claim { claim: "Tests pass.".to_owned(), criterion: None, step: step(of), label: None }
    }

    fn handover(not_verified: &str) -> Handover {
        let (title, summary) = ("Add it".to_owned(), "It is added.".to_owned());
        Handover { title, summary, not_verified: not_verified.to_owned(), answers: Vec::new() }
    }

    const FOREGROUND: ShellMode = ShellMode::Foreground { timeout_seconds: 120 };

    #[test]
    fn a_screenshot_backs_a_claim_with_its_picture() {
        let mut record = Record::default();
        let content = [ResultPart::Image { image: image() }];
        record.note(
            step("1.1"),
            ToolRequest::Computer(ComputerAction::Screenshot),
            ToolOutcome::Done,
            &content,
            None,
        );
        let source =
            EvidenceSource::Screenshot { step: step("1.1"), label: "step 1.1".to_owned(), image: image() };
        assert_eq!(record.back(claim("1.1"), 0).unwrap().source, source);
    }

    #[test]
    fn a_command_backs_a_claim_with_the_end_of_its_output() {
        let mut record = Record::default();
        let output = format!("{}end", "x".repeat(5_000));
        record.note(step("1.1"), shell(FOREGROUND), ToolOutcome::Failed, &text(&output), Some(1));
        let EvidenceSource::Command { command, exit_code, output_tail, .. } =
            record.back(claim("1.1"), 0).unwrap().source
        else {
            unreachable!("a command's evidence")
        };
        assert_eq!((command.as_str(), exit_code, output_tail.len()), ("npm test", Some(1), 4_000));
        assert!(output_tail.ends_with("end"));
    }

    #[test]
    fn a_background_command_backs_a_claim_only_where_its_end_was_read() {
        let mut record = Record::default();
        let read = ToolRequest::ShellOutput { job: step("1.1") };
        record.note(step("1.1"), shell(ShellMode::Background), ToolOutcome::Done, &text("started"), None);
        record.note(step("1.2"), read.clone(), ToolOutcome::Done, &text("running"), None);
        record.note(step("1.3"), read, ToolOutcome::Done, &text("passed"), Some(0));
        assert_eq!(record.back(claim("1.1"), 0), Err(Unfounded::StillRunning(step("1.1"))));
        assert_eq!(record.back(claim("1.2"), 0), Err(Unfounded::NoBacking(step("1.2"))));
        let source = EvidenceSource::Command {
            step: step("1.3"),
            command: "npm test".to_owned(),
            exit_code: Some(0),
            output_tail: "passed".to_owned(),
        };
        assert_eq!(record.back(claim("1.3"), 0).unwrap().source, source);
        assert_eq!(
            (record.job(step("1.1")), record.job(step("1.3"))),
            (Ok(()), Err(Unfounded::NoJob(step("1.3"))))
        );
    }

    #[test]
    fn a_command_that_could_not_be_run_backs_nothing() {
        let mut record = Record::default();
        record.note(step("1.1"), shell(FOREGROUND), ToolOutcome::Failed, &text("the sandbox is gone"), None);
        assert_eq!(record.back(claim("1.1"), 0), Err(Unfounded::NoBacking(step("1.1"))));
        assert_eq!(record.back(claim("9.9"), 0), Err(Unfounded::NoSuchStep(step("9.9"))));
    }

    #[test]
    fn the_end_needs_a_plan_without_open_steps_and_evidence() {
        let mut record = Record::default();
        let plan = |state| Plan { steps: vec![PlanStep { title: "Test it".to_owned(), state }] };
        let note = |record: &mut Record, request| {
            record.note(step("1.1"), request, ToolOutcome::Done, &[], None);
        };
        assert_eq!(record.may_finish(&handover(""), 0), Err(Unfounded::NoEvidence));
        note(&mut record, ToolRequest::Plan(plan(PlanStepState::Active)));
        assert_eq!(record.may_finish(&handover(""), 0), Err(Unfounded::OpenSteps("Test it".to_owned())));
        note(&mut record, ToolRequest::Plan(plan(PlanStepState::Dropped)));
        assert_eq!(record.may_finish(&handover(""), 0), Err(Unfounded::NoEvidence));
        let source = EvidenceSource::Screenshot { step: step("1.1"), label: String::new(), image: image() };
        note(
            &mut record,
            ToolRequest::Evidence(Evidence { claim: "It is so.".to_owned(), criterion: None, source }),
        );
        assert_eq!(record.may_finish(&handover(""), 0), Ok(()));
    }

    #[test]
    fn the_end_needs_evidence_of_every_criterion_or_the_word_that_there_is_none() {
        let mut record = Record::default();
        let source = EvidenceSource::Screenshot { step: step("1.1"), label: String::new(), image: image() };
        let evidence = Evidence { claim: "It is so.".to_owned(), criterion: Some(2), source };
        record.note(step("1.1"), ToolRequest::Evidence(evidence), ToolOutcome::Done, &[], None);
        assert_eq!(record.may_finish(&handover(" "), 3), Err(Unfounded::NotShown("1, 3".to_owned())));
        assert_eq!(record.may_finish(&handover("1 and 3 need a printer."), 3), Ok(()));
    }

    #[test]
    fn evidence_of_a_criterion_that_is_none_is_refused() {
        let mut record = Record::default();
        record.note(step("1.1"), shell(FOREGROUND), ToolOutcome::Done, &text("ok"), Some(0));
        let of = |number| Claim { criterion: Some(number), ..claim("1.1") };
        assert_eq!(record.back(of(2), 2).unwrap().criterion, Some(2));
        assert_eq!(record.back(of(3), 2), Err(Unfounded::NoSuchCriterion { number: 3, of: 2 }));
        let said = [(3, 2), (1, 0)].map(|(number, of)| Unfounded::NoSuchCriterion { number, of }.to_string());
        assert_eq!(
            said,
            [
                "There is no criterion 3: the task has 1 to 2.",
                "There is no criterion 1: the task has no numbered ones."
            ]
        );
    }

    #[test]
    fn a_plan_that_could_not_be_recorded_is_not_the_plan() {
        let mut record = Record::default();
        let steps = vec![PlanStep { title: "a".to_owned(), state: PlanStepState::Pending }];
        record.note(step("1.1"), ToolRequest::Plan(Plan { steps }), ToolOutcome::Failed, &[], None);
        assert_eq!(record.plan(), &Plan::default());
    }

    fn judgement(criterion: u32, verdict: Verdict, step_of: Option<&str>) -> Judgement {
        Judgement { criterion, verdict, words: "Seen.".to_owned(), step: step_of.map(step) }
    }

    #[test]
    fn each_criterion_is_judged_once_and_by_a_step_that_shows_something() {
        let mut record = Record::default();
        record.note(step("9.1"), shell(FOREGROUND), ToolOutcome::Done, &text("1 failed"), Some(1));
        record.note(step("9.2"), shell(ShellMode::Background), ToolOutcome::Done, &text("started"), None);
        let (met, not) =
            (judgement(1, Verdict::Met, Some("9.1")), judgement(2, Verdict::NotVerifiable, None));
        let judged = record.judge(vec![not.clone(), met.clone()], 2).unwrap();
        let source = EvidenceSource::Command {
            step: step("9.1"),
            command: "npm test".to_owned(),
            exit_code: Some(1),
            output_tail: "1 failed".to_owned(),
        };
        let verdict = |criterion, verdict, evidence| CriterionVerdict {
            criterion,
            verdict,
            words: "Seen.".to_owned(),
            evidence,
        };
        assert_eq!(
            judged,
            [verdict(1, Verdict::Met, Some(source)), verdict(2, Verdict::NotVerifiable, None)]
        );
        let not_judged = |missing: &str| Err(Unfounded::NotJudged { of: 2, missing: missing.to_owned() });
        assert_eq!(record.judge(vec![met.clone()], 2), not_judged("2"));
        assert_eq!(record.judge(vec![met.clone(), met.clone(), not.clone()], 2), not_judged("1"));
        let beyond = judgement(3, Verdict::NotVerifiable, None);
        assert_eq!(
            record.judge(vec![met.clone(), not.clone(), beyond], 2),
            Err(Unfounded::NoSuchCriterion { number: 3, of: 2 })
        );
        let unfounded = |judgement: Judgement| record.judge(vec![judgement, not.clone()], 2).unwrap_err();
        assert_eq!(unfounded(judgement(1, Verdict::NotMet, None)), Unfounded::NoStep(1));
        assert_eq!(
            unfounded(judgement(1, Verdict::NotMet, Some("9.2"))),
            Unfounded::StillRunning(step("9.2"))
        );
        assert_eq!(unfounded(judgement(1, Verdict::Met, Some("2.1"))), Unfounded::NoSuchStep(step("2.1")));
        assert_eq!(record.jobs(), [step("9.2")]);
    }
}
