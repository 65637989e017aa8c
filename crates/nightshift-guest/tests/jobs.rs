//! Jobs run once, outlive whoever follows them, and end with all they started.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod bench;

use std::time::Duration;

use bench::{Bench, job, run, script};
use nightshift_channel::{
    AttachError, Channel, Command, Completed, ForgetError, Input, Job, JobEvent, JobExit, JobState,
    JobStatus, KillError, OutputMode, Signal, Source, StartJobError,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The next output of a job, as text.
async fn output(job: &mut Job) -> String {
    match job.next().await {
        Some(JobEvent::Output { bytes, .. }) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?} instead of output"),
    }
}

/// All output of a job up to its end.
async fn rest(job: &mut Job) -> (String, JobStatus) {
    let mut text = Vec::new();
    loop {
        match job.next().await.unwrap() {
            JobEvent::Output { bytes, .. } => text.extend_from_slice(&bytes),
            JobEvent::Exited(exit) => return (String::from_utf8(text).unwrap(), exit.status),
        }
    }
}

/// Waits for the end of a process that is not this one's child.
fn wait_for_end(pid: &str) {
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    // Without a process of that number there is nothing to wait for.
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
        let within = Timespec { tv_sec: 30, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&within)).unwrap();
        assert_eq!(ended, 1, "the process still runs");
    }
}

fn status(completed: &Completed) -> JobStatus {
    completed.exit.status
}

#[tokio::test]
async fn outputs_kept_apart_and_the_exit_code_come_through() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let command = script("apart", "echo out; echo err >&2; exit 7").output(OutputMode::Separate);
    let Completed { stdout, stderr, exit, truncated } = run(&channel, command).await.unwrap();
    assert_eq!((stdout.as_slice(), stderr.as_slice(), truncated), (&b"out\n"[..], &b"err\n"[..], 0));
    assert_eq!((exit.status, exit.dropped_bytes), (JobStatus::Code(7), 0));
    assert!(exit.wall > Duration::ZERO);
}

#[tokio::test]
async fn merged_outputs_keep_the_order_in_which_they_were_written() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let command = script("merged", "for i in 1 2 3; do echo o$i; echo e$i >&2; done");
    let completed = run(&channel, command).await.unwrap();
    assert_eq!(completed.stdout, b"o1\ne1\no2\ne2\no3\ne3\n");
}

#[tokio::test]
async fn a_job_has_its_users_environment_with_the_requests_over_it_and_its_own_session() {
    let bench = Bench::with(|settings| settings.agent.as_mut().unwrap().shell = "/bin/some-shell".into());
    let channel = bench.connect().await;
    let command = script(
        "environment",
        "echo $HOME $USER $SHELL $LANG $EXTRA $PWD; ps -o sid= -p $$ | tr -d ' '; echo $$",
    )
    .variable("EXTRA", "more")
    .variable("LANG", "de_DE.UTF-8")
    .folder("/usr");
    let text = String::from_utf8(run(&channel, command).await.unwrap().stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        format!("{} agent /bin/some-shell de_DE.UTF-8 more /usr", bench.folder.path().display())
    );
    assert_eq!(lines[1], lines[2], "the job leads its session");
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_by_name_and_the_id_stays_free() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let program = |program: &str| Command::new(job("one"), [program]);
    let refusals = [
        (program("/no/such/program"), StartJobError::NoSuchProgram),
        (program("no-such-program-anywhere"), StartJobError::NoSuchProgram),
        (program("/etc/passwd"), StartJobError::PermissionDenied),
        (program("true").folder("/no/such/folder"), StartJobError::NoSuchFolder),
        (Command::new(job("one"), ["true", &"x".repeat(200_000)]), StartJobError::TooLarge),
        (
            Command::new(job("one"), Vec::<String>::new()),
            StartJobError::Other { what: "there is no program to start".to_owned() },
        ),
    ];
    for (command, refusal) in refusals {
        assert_eq!(channel.start(command).await.map(drop), Err(refusal));
    }
    assert_eq!(status(&run(&channel, program("true")).await.unwrap()), JobStatus::Code(0));
}

#[tokio::test]
async fn a_machine_without_the_user_says_so() {
    let bench = Bench::with(|settings| settings.agent = None);
    let channel = bench.connect().await;
    assert_eq!(channel.start(script("job", "true")).await.map(drop), Err(StartJobError::NoSuchUser));
}

#[tokio::test]
async fn a_job_started_twice_runs_once_and_both_see_all_of_it() {
    let bench = Bench::new();
    let [first, second] = [bench.connect().await, bench.connect().await];
    let command = script("once", &format!("echo ran | tee -a {}", bench.path("count")));
    let (first, second) = tokio::join!(run(&first, command.clone()), run(&second, command.clone()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first, second);
    assert_eq!(first, run(&bench.connect().await, command).await.unwrap());
    assert_eq!(std::fs::read(bench.path("count")).unwrap(), b"ran\n");
}

#[tokio::test]
async fn output_is_replayed_from_any_byte_without_gap_or_duplicate_after_the_host_is_gone() {
    let bench = Bench::new();
    let count = 20_000;
    let expected: String = (1..=count).map(|number| format!("{number}\n")).collect();
    let mut job = bench.connect().await.start(script("count", &format!("seq {count}"))).await.unwrap();
    let mut seen = String::new();
    for _ in 0..4 {
        if seen.len() < expected.len() {
            seen.push_str(&output(&mut job).await);
        }
        let offset = job.offset();
        assert_eq!(offset, seen.len() as u64);
        // The last user of the channel goes, and with it the session.
        drop(job);
        job = bench.connect().await.attach(&bench::job("count"), offset).await.unwrap();
    }
    let (text, status) = rest(&mut job).await;
    seen.push_str(&text);
    assert_eq!(status, JobStatus::Code(0));
    assert!(seen == expected, "{} bytes instead of {}", seen.len(), expected.len());
    assert_eq!(job.next().await, None);
}

#[tokio::test]
async fn a_job_goes_on_while_nobody_is_there() {
    let bench = Bench::new();
    let fifo = std::process::Command::new("mkfifo").arg(bench.path("go")).status().unwrap();
    assert!(fifo.success());
    let command = script("alone", "echo begin; read < go; echo end");
    let mut job = bench.connect().await.start(command).await.unwrap();
    assert_eq!(output(&mut job).await, "begin\n");
    drop(job);
    std::fs::write(bench.path("go"), "\n").unwrap();
    let channel = bench.connect().await;
    let mut job = channel.attach(&bench::job("alone"), 6).await.unwrap();
    assert_eq!(rest(&mut job).await, ("end\n".to_owned(), JobStatus::Code(0)));
    let JobState::Exited { output_bytes: 10, .. } = channel.job(job.id()).await.unwrap().unwrap() else {
        panic!("the job has ended with 10 bytes of output");
    };
}

#[tokio::test]
async fn a_job_over_its_time_ends_with_its_grandchildren() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let command =
        script("late", "bash -c 'sleep 1000 & echo $!; wait' & wait").time_limit(Duration::from_millis(300));
    let completed = run(&channel, command).await.unwrap();
    assert_eq!(status(&completed), JobStatus::TimedOut);
    wait_for_end(std::str::from_utf8(&completed.stdout).unwrap());
}

#[tokio::test]
async fn a_job_that_ignores_the_request_to_end_is_killed_after_two_seconds() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let mut job = channel.start(script("deaf", "trap '' TERM; echo ready; sleep 1000")).await.unwrap();
    assert_eq!(output(&mut job).await, "ready\n");
    job.kill(Signal::Terminate).await.unwrap();
    let JobExit { status, wall, .. } = job.collect(100).await.unwrap().exit;
    assert_eq!(status, JobStatus::Signal(9));
    assert!(wall >= Duration::from_secs(2), "{wall:?}");
}

#[tokio::test]
async fn an_interrupt_reaches_the_job_and_a_kill_ends_it_at_once() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let command = script("polite", "trap 'echo interrupted' INT; echo ready; while :; do sleep 1000; done");
    let mut job = channel.start(command).await.unwrap();
    assert_eq!(output(&mut job).await, "ready\n");
    job.kill(Signal::Interrupt).await.unwrap();
    assert_eq!(output(&mut job).await, "interrupted\n");
    job.kill(Signal::Kill).await.unwrap();
    assert_eq!(rest(&mut job).await.1, JobStatus::Signal(9));
    assert_eq!(channel.kill(&bench::job("unknown"), Signal::Kill).await, Err(KillError::NoSuchJob));
}

#[tokio::test]
async fn output_over_the_limit_is_dropped_and_counted_and_the_job_goes_on() {
    let bench = Bench::with(|settings| settings.output_bytes = 100_000);
    let channel = bench.connect().await;
    let command = script("flood", &format!("head -c 1000000 /dev/zero; echo done > {}", bench.path("done")));
    let completed = run(&channel, command).await.unwrap();
    assert_eq!((completed.stdout.len(), completed.exit.dropped_bytes), (100_000, 900_000));
    assert_eq!(status(&completed), JobStatus::Code(0));
    assert_eq!(std::fs::read(bench.path("done")).unwrap(), b"done\n");
}

#[tokio::test]
async fn collecting_keeps_the_beginning_and_counts_the_rest() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let command = script("long", "printf 1234567890; printf abc >&2").output(OutputMode::Separate);
    let completed = channel.start(command).await.unwrap().collect(8).await.unwrap();
    assert_eq!(completed.stdout.len() + completed.stderr.len(), 8);
    assert_eq!(completed.truncated, 5);
}

#[tokio::test]
async fn input_given_whole_is_read_to_its_end_also_when_it_exceeds_every_buffer() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let input = vec![b'i'; 1_000_000];
    let command = script("whole", "wc -c").input(Input::Bytes(input.clone()));
    assert_eq!(run(&channel, command.clone()).await.unwrap().stdout, b"1000000\n");
    assert_eq!(
        run(&channel, command).await.unwrap().stdout,
        b"1000000\n",
        "the input of a retry is passed over"
    );
    let deaf = script("deaf", "echo no thanks").input(Input::Bytes(input));
    assert_eq!(run(&channel, deaf).await.unwrap().stdout, b"no thanks\n");
}

#[tokio::test]
async fn input_may_come_bit_by_bit() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let mut job = channel.start(Command::new(job("cat"), ["cat"]).input(Input::Stream)).await.unwrap();
    for word in ["one", "two"] {
        job.send_input(word.as_bytes()).await.unwrap();
        assert_eq!(output(&mut job).await, word);
    }
    job.end_input();
    assert_eq!(rest(&mut job).await, (String::new(), JobStatus::Code(0)));
}

#[tokio::test]
async fn a_host_that_goes_ends_the_input_it_was_giving() {
    let bench = Bench::new();
    let command = Command::new(job("cat"), ["cat"]).input(Input::Stream);
    let mut started = bench.connect().await.start(command).await.unwrap();
    started.send_input(b"half a senten").await.unwrap();
    assert_eq!(output(&mut started).await, "half a senten");
    drop(started);
    let mut attached = bench.connect().await.attach(&job("cat"), 0).await.unwrap();
    assert_eq!(rest(&mut attached).await, ("half a senten".to_owned(), JobStatus::Code(0)));
}

#[tokio::test]
async fn what_a_job_leaves_running_neither_holds_it_up_nor_dies_of_writing() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let fifos =
        std::process::Command::new("mkfifo").args([bench.path("go"), bench.path("back")]).status().unwrap();
    assert!(fifos.success());
    let leave = "(read < go; seq 100000; echo survived > back) & echo started";
    assert_eq!(run(&channel, script("leave", leave)).await.unwrap().stdout, b"started\n");
    let after = run(&channel, script("after", "echo > go; cat back")).await;
    assert_eq!(after.unwrap().stdout, b"survived\n");
}

#[tokio::test]
async fn a_job_is_forgotten_only_after_its_end_and_may_then_be_started_anew() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let mut running = channel.start(script("job", "echo up; sleep 1000")).await.unwrap();
    assert_eq!(output(&mut running).await, "up\n");
    assert_eq!(channel.forget(&job("job")).await, Err(ForgetError::StillRunning));
    assert_eq!(channel.job(&job("job")).await, Ok(Some(JobState::Running { output_bytes: 3 })));
    running.kill(Signal::Kill).await.unwrap();
    rest(&mut running).await;
    assert_eq!(channel.forget(&job("job")).await, Ok(()));
    assert_eq!(channel.forget(&job("job")).await, Err(ForgetError::NoSuchJob));
    assert_eq!(channel.job(&job("job")).await, Ok(None));
    assert_eq!(channel.attach(&job("job"), 0).await.map(drop), Err(AttachError::NoSuchJob));
    assert_eq!(run(&channel, script("job", "echo anew")).await.unwrap().stdout, b"anew\n");
}

#[tokio::test]
async fn attaching_past_the_output_is_refused() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    run(&channel, script("short", "printf 12345")).await.unwrap();
    let refused = channel.attach(&job("short"), 6).await.map(drop);
    assert_eq!(refused, Err(AttachError::OutputIsShorter { output_bytes: 5 }));
    assert_eq!(
        rest(&mut channel.attach(&job("short"), 5).await.unwrap()).await,
        (String::new(), JobStatus::Code(0))
    );
}

#[tokio::test]
async fn only_the_newest_ended_jobs_are_kept() {
    let bench = Bench::with(|settings| settings.kept_jobs = 2);
    let channel = bench.connect().await;
    let ids = ["a", "b", "c"];
    for id in ids {
        run(&channel, script(id, "true")).await.unwrap();
    }
    let mut known = Vec::new();
    for id in ids {
        known.push(channel.job(&job(id)).await.unwrap().is_some());
    }
    assert_eq!(known, [false, true, true]);
}

#[tokio::test]
async fn a_new_life_of_the_program_keeps_results_and_starts_nothing_again() {
    let mut bench = Bench::new();
    let before =
        run(&bench.connect().await, script("done", "echo once; echo twice >&2; exit 3")).await.unwrap();
    bench.restart();
    let channel = bench.connect().await;
    assert_eq!(run(&channel, script("done", "echo never")).await.unwrap(), before);
}

#[tokio::test]
async fn a_job_whose_program_restarted_is_watched_on_and_lost_at_its_end() {
    let mut bench = Bench::new();
    let mut running = bench.connect().await.start(script("orphan", "echo up; sleep 1000")).await.unwrap();
    assert_eq!(output(&mut running).await, "up\n");
    // The first life goes on in this process, but the second knows nothing of it.
    bench.restart();
    let channel = bench.connect().await;
    assert_eq!(channel.job(&job("orphan")).await, Ok(Some(JobState::Running { output_bytes: 3 })));
    channel.kill(&job("orphan"), Signal::Kill).await.unwrap();
    let mut attached = channel.attach(&job("orphan"), 0).await.unwrap();
    assert_eq!(rest(&mut attached).await, ("up\n".to_owned(), JobStatus::Lost));
}

#[tokio::test]
async fn a_job_that_ended_unseen_is_lost_and_not_started_again() {
    let mut bench = Bench::new();
    // What is left when the program dies between making the folder and starting the job.
    std::fs::create_dir(bench.settings.spool.join("jobs/unseen")).unwrap();
    std::fs::write(bench.settings.spool.join("jobs/unseen/output"), "").unwrap();
    bench.restart();
    let channel: Channel = bench.connect().await;
    let completed = run(&channel, script("unseen", "echo never")).await.unwrap();
    let exit = JobExit { status: JobStatus::Lost, dropped_bytes: 0, wall: Duration::ZERO };
    assert_eq!(completed, Completed { stdout: Vec::new(), stderr: Vec::new(), exit, truncated: 0 });
}

#[tokio::test]
async fn events_tell_which_output_bytes_came_from() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let command = script("source", "echo only >&2").output(OutputMode::Separate);
    let mut job = channel.start(command).await.unwrap();
    let bytes = bytes::Bytes::from_static(b"only\n");
    assert_eq!(job.next().await, Some(JobEvent::Output { source: Source::Stderr, bytes }));
}
