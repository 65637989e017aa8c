//! Programs that speak to the proxy, and hosts behind it, played on the wire.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod world;

use std::net::IpAddr;
use std::time::Duration;

use nightshift_egress::{EgressLimits, Origin, OriginBody, Policy};
use nightshift_protocol::{ConnectionFailure, ConnectionVerdict, NetworkPhase, RefusalReason};
use world::{Answers, PATIENCE, World, hello};

const fn refused(reason: RefusalReason) -> ConnectionVerdict {
    ConnectionVerdict::Refused { reason }
}

#[tokio::test]
async fn a_tls_tunnel_to_a_listed_host_carries_bytes_both_ways_and_is_counted() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    let mut program = world.program();
    program.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
    assert_eq!(program.head().await.lines().next(), Some("HTTP/1.1 200 OK"));
    let words = hello("host.test");
    program.say_bytes(&words).await;
    program.say("and more").await;
    let echoed = program.hear(words.len() + 8).await;
    assert!(echoed.starts_with(&words) && echoed.ends_with(b"and more"));
    program.hang_up().await;
    let told = world.told_after(|told| told.iter().any(|line| line.ended == 1)).await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].host.as_str(), told[0].port), ("host.test", world.port));
    assert_eq!((told[0].verdict, told[0].begun), (ConnectionVerdict::Allowed, 1));
    assert!(
        told[0].sent_bytes > words.len() as u64 && told[0].received_bytes > words.len() as u64,
        "{told:?}"
    );
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_refused_in_words_and_never_resolved() {
    let world = World::new(&["host.test"], &[]).await;
    let mut program = world.program();
    program.say("CONNECT secrets.evil.test:443 HTTP/1.1\r\nHost: secrets.evil.test:443\r\n\r\n").await;
    let answer = program.all().await;
    // The first line is all that pip and apt show of it.
    assert_eq!(
        answer.lines().next(),
        Some(
            "HTTP/1.1 403 Forbidden: secrets.evil.test:443: not on the list of hosts this sandbox may reach now"
        )
    );
    assert!(
        answer.ends_with(
            "nightshift: secrets.evil.test:443: not on the list of hosts this sandbox may reach now\n"
        ),
        "{answer}"
    );
    assert_eq!(
        world.verdicts().await,
        [("secrets.evil.test".to_owned(), 443, refused(RefusalReason::NotListed))]
    );
    assert_eq!(world.asked(), Vec::<String>::new(), "a name server would learn what the sandbox says");
}

#[tokio::test]
async fn an_address_is_refused_however_it_is_asked_for() {
    let world = World::new(&["*"], &[]).await;
    let bare = refused(RefusalReason::BareAddress);
    for (request, host, port) in [
        ("CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n\r\n", "127.0.0.1", 443),
        ("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", "[::1]", 443),
        ("CONNECT 2130706433:443 HTTP/1.1\r\nHost: a\r\n\r\n", "2130706433", 443),
        (
            "GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
            "169.254.169.254",
            80,
        ),
        ("GET http://0x7f.1:8080/ HTTP/1.1\r\nHost: 0x7f.1:8080\r\n\r\n", "0x7f.1", 8080),
    ] {
        let mut program = world.program();
        program.say(request).await;
        let answer = program.all().await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{request}: {answer}");
        assert!(
            answer.ends_with(&format!("{host}:{port}: hosts are reached by name, not by address\n")),
            "{answer}"
        );
        assert_eq!(world.verdicts().await, [(host.to_owned(), port, bare)], "{request}");
    }
    for (asked, host) in [
        (&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 80][..], "127.0.0.1"),
        (&[5, 1, 0, 5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80], "[::1]"),
        (b"\x05\x01\0\x05\x01\0\x03\x0810.0.0.1\0\x50", "10.0.0.1"),
    ] {
        let mut program = world.program();
        program.say_bytes(asked).await;
        assert_eq!(program.all_bytes().await, [5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(world.verdicts().await, [(host.to_owned(), 80, bare)]);
    }
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_listed_name_that_leads_somewhere_private_is_refused_whatever_the_name_server_says() {
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.20.0.1",
        "100.64.3.4",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "224.0.0.1",
    ] {
        let world = World::new(&["host.test:PORT"], &[]).await;
        world.answer_with(vec![address.parse().unwrap()]);
        let mut program = world.program();
        program.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
        assert!(program.all().await.starts_with("HTTP/1.1 403"), "{address}");
        assert_eq!(world.verdicts().await[0].2, refused(RefusalReason::ForbiddenAddress), "{address}");
        assert_eq!(world.reached(), 0, "{address}");
    }
}

#[tokio::test]
async fn an_exception_for_private_addresses_reaches_no_metadata() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    for address in ["169.254.169.254", "fd00:ec2::254", "::ffff:127.0.0.1"] {
        world.answer_with(vec![address.parse().unwrap()]);
        let mut program = world.program();
        program.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
        assert!(program.all().await.starts_with("HTTP/1.1 403"), "{address}");
    }
    assert_eq!(world.reached(), 0);
}

#[tokio::test]
async fn a_name_is_resolved_once_so_a_second_answer_changes_nothing() {
    let world = World::new(&["host.test:PORT"], &[]).await;
    let public: IpAddr = "203.0.114.1".parse().unwrap();
    // Public when it is checked, this machine when it would be asked again.
    world.answer_in_turn(Answers(vec![vec![public], vec!["127.0.0.1".parse().unwrap()]]));
    let mut program = world.program();
    program.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
    // The public address is nobody's here, so the connection fails or is still tried; this machine is not reached.
    let _tried = tokio::time::timeout(Duration::from_secs(1), program.all()).await;
    assert_eq!((world.asked().len(), world.reached()), (1, 0));
}

#[tokio::test]
async fn of_many_addresses_only_those_that_are_allowed_are_tried() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    world.answer_with(
        ["169.254.169.254", "::ffff:127.0.0.1", "127.0.0.1"].map(|text| text.parse().unwrap()).to_vec(),
    );
    let mut program = world.program();
    program
        .say(&world.text(
            "GET http://host.test:PORT/x HTTP/1.1\r\nHost: host.test:PORT\r\nConnection: close\r\n\r\n",
        ))
        .await;
    assert!(program.all().await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn tls_that_names_another_host_than_the_tunnel_is_cut_before_a_byte_of_it_arrives() {
    for words in [
        hello("other.test"),
        hello("HOST.test.evil.test"),
        b"SSH-2.0-x\r\n".to_vec(),
        vec![22, 3, 1, 0, 4, 1, 0, 0, 0],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
    ] {
        let world = World::new(&["host.test:PORT", "other.test:PORT"], &["host.test:PORT"]).await;
        let mut program = world.program();
        program.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
        program.head().await;
        program.say_bytes(&words).await;
        assert_eq!(program.all().await, "");
        let told = world.verdicts().await;
        let reasons = [refused(RefusalReason::OtherHost), refused(RefusalReason::UnknownProtocol)];
        assert!(
            told.iter().any(|(host, _, verdict)| host == "host.test" && reasons.contains(verdict)),
            "{told:?}"
        );
        assert_eq!(world.heard(), Vec::<u8>::new());
    }
}

#[tokio::test]
async fn a_request_is_passed_on_with_the_host_that_was_checked_and_without_the_proxy_s_fields() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    let mut program = world.program();
    program
        .say(&world.text(
            "POST http://Host.TEST:PORT/path?q=1 HTTP/1.1\r\nhost: host.test.:PORT\r\nProxy-Authorization: Basic eDp5\r\n\
             Proxy-Connection: keep-alive\r\nConnection: x-secret, close\r\nX-Secret: 1\r\nX-Kept: 2\r\nContent-Length: 4\r\n\r\nbody",
        ))
        .await;
    let answer = program.all().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let heard = String::from_utf8(world.heard()).unwrap();
    assert!(heard.starts_with("POST /path?q=1 HTTP/1.1\r\n"), "{heard}");
    assert!(
        heard.contains(&world.text("host: host.test:PORT\r\n"))
            && heard.contains("x-kept: 2")
            && heard.ends_with("body"),
        "{heard}"
    );
    for gone in ["proxy-", "x-secret", "connection"] {
        assert!(!heard.to_lowercase().contains(gone), "{gone}: {heard}");
    }
}

#[tokio::test]
async fn requests_whose_host_is_unclear_or_whose_end_is_go_nowhere() {
    let world =
        World::new(&["host.test:PORT", "other.test:PORT"], &["host.test:PORT", "other.test:PORT"]).await;
    for request in [
        "GET http://host.test:PORT/ HTTP/1.1\r\nHost: other.test:PORT\r\n\r\n",
        "GET http://host.test:PORT/ HTTP/1.1\r\nHost: host.test:PORT\r\nHost: other.test:PORT\r\n\r\n",
        "GET http://host.test:PORT/ HTTP/1.1\r\n\r\n",
        "GET http://host.test:PORT/ HTTP/1.1\r\nHost: host.test:80\r\n\r\n",
        "GET http://user@host.test:PORT/ HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n",
        "GET https://host.test:PORT/ HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n",
        "GET ftp://host.test:PORT/ HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n",
        "POST http://host.test:PORT/ HTTP/1.1\r\nHost: host.test:PORT\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
        "POST http://host.test:PORT/ HTTP/1.1\r\nHost: host.test:PORT\r\nTransfer-Encoding: x\r\n\r\nbody",
        "GET http://host.test:PORT/ HTTP/1.1\r\nHost : host.test:PORT\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n",
    ] {
        let mut program = world.program();
        program.say(&world.text(request)).await;
        program.end().await;
        let answer = program.all().await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{request}: {answer}");
        assert_eq!(world.heard(), Vec::<u8>::new(), "{request}");
    }
}

#[tokio::test]
async fn a_second_request_on_a_connection_is_checked_like_the_first() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    let mut program = world.program();
    program.say(&world.text("GET http://host.test:PORT/1 HTTP/1.1\r\nHost: host.test:PORT\r\n\r\nGET http://evil.test/2 HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n")).await;
    let answers = program.all().await;
    assert!(
        answers.starts_with("HTTP/1.1 200 OK") && answers.contains("HTTP/1.1 403 Forbidden"),
        "{answers}"
    );
    assert_eq!(world.reached(), 1);
}

#[tokio::test]
async fn requests_in_a_tunnel_must_be_for_the_tunnel_s_host() {
    let world =
        World::new(&["host.test:PORT", "other.test:PORT"], &["host.test:PORT", "other.test:PORT"]).await;
    for (host, status) in
        [("host.test:PORT", "HTTP/1.1 200 OK"), ("other.test:PORT", "HTTP/1.1 403 Forbidden")]
    {
        let mut program = world.program();
        program.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
        program.head().await;
        program
            .say(&world.text(&format!("GET /in HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")))
            .await;
        let answer = program.all().await;
        assert!(answer.starts_with(status), "{host}: {answer}");
    }
    assert_eq!(String::from_utf8(world.heard()).unwrap().matches("GET /in").count(), 1);
}

#[tokio::test]
async fn socks_with_a_name_is_a_tunnel_like_any_other() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    let mut program = world.program();
    let words = hello("host.test");
    let request =
        [&[5, 1, 0, 5, 1, 0, 3, 9], b"host.test".as_slice(), &world.port.to_be_bytes(), &words].concat();
    program.say_bytes(&request).await;
    assert_eq!(program.hear(12).await, [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(program.hear(words.len()).await, words);
    let mut program = world.program();
    program.say_bytes(&[&[5, 1, 0, 5, 1, 0, 3, 9], b"evil.test".as_slice(), &[1, 187]].concat()).await;
    assert_eq!(program.all_bytes().await, [5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0], "what is not listed");
}

#[tokio::test]
async fn every_refusal_by_socks_arrives_whole_with_the_code_that_tells_which_it_is() {
    let world = World::new(&["host.test:PORT", "gone.test:9"], &["host.test:PORT", "gone.test:9"]).await;
    let named = |name: &[u8], port: u16| {
        let length = [u8::try_from(name.len()).unwrap()];
        [&[5, 1, 0, 5, 1, 0, 3], &length[..], name, &port.to_be_bytes()].concat()
    };
    for (said, code) in [
        (named(b"unlisted.test", 443), 2),
        (named(b"127.0.0.1", 80), 2),
        (named(b"not a name", 80), 2),
        (named(b"gone.test", 9), 4),
        (vec![5, 1, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0], 7),
        (vec![5, 1, 0, 5, 1, 0, 9, 0, 0, 0, 0, 0, 0], 8),
    ] {
        let mut program = world.program();
        program.say_bytes(&said).await;
        assert_eq!(program.all_bytes().await, [5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0], "{said:?}");
    }
    let mut program = world.program();
    program.say_bytes(&[5, 1, 2]).await;
    assert_eq!(program.all_bytes().await, [5, 255], "who insists on a password");
}

#[tokio::test]
async fn an_answer_is_ended_though_its_request_asked_for_another_protocol() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    let asks = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    for (first, then, answers) in [
        // As `curl --http2` asks.
        (format!("GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n{asks}\r\n"), "", "403"),
        (
            world
                .text(&format!("GET http://host.test:PORT/1 HTTP/1.1\r\nHost: host.test:PORT\r\n{asks}\r\n")),
            "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
            "200 403",
        ),
    ] {
        let mut program = world.program();
        program.say(&format!("{first}{then}")).await;
        let said = program.all().await;
        let codes: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        assert_eq!(codes.join(" "), answers, "{said}");
    }
}

#[tokio::test]
async fn connections_that_a_new_policy_does_not_allow_are_cut_and_others_go_on() {
    let world =
        World::new(&["host.test:PORT", "kept.test:PORT"], &["host.test:PORT", "kept.test:PORT"]).await;
    let mut programs = Vec::new();
    for host in ["host.test", "kept.test"] {
        let mut program = world.program();
        program.say(&world.text(&format!("CONNECT {host}:PORT HTTP/1.1\r\nHost: {host}:PORT\r\n\r\n"))).await;
        program.head().await;
        let words = hello(host);
        program.say_bytes(&words).await;
        program.hear(words.len()).await;
        programs.push(program);
    }
    let [mut cut, mut kept] = <[_; 2]>::try_from(programs).ok().unwrap();
    let policy = world.policy(&["kept.test:PORT"], &["kept.test:PORT"]);
    world.egress.set_policy(Policy { phase: NetworkPhase::Work, ..policy });
    assert_eq!(cut.all().await, "");
    kept.say("still here").await;
    assert_eq!(kept.hear(10).await, b"still here");
    let told = world.told_after(|told| told.len() >= 3).await;
    assert!(
        told.iter().any(|line| line.host == "host.test" && line.verdict == refused(RefusalReason::PhaseOver))
    );
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_a_failure_and_no_refusal() {
    let world = World::new(&["host.test:PORT", "gone.test:9"], &["host.test:PORT", "gone.test:9"]).await;
    world.answer_with(Vec::new());
    let mut program = world.program();
    program.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
    assert!(program.all().await.starts_with("HTTP/1.1 502"));
    world.answer_with(vec!["127.0.0.1".parse().unwrap()]);
    let mut program = world.program();
    program.say("CONNECT gone.test:9 HTTP/1.1\r\nHost: gone.test:9\r\n\r\n").await;
    assert!(program.all().await.starts_with("HTTP/1.1 502"));
    let failed = |reason| ConnectionVerdict::Failed { reason };
    let told = world.verdicts().await;
    let verdicts: Vec<_> = told.iter().map(|(_, _, verdict)| *verdict).collect();
    assert_eq!(verdicts, [failed(ConnectionFailure::NotResolved), failed(ConnectionFailure::NotReached)]);
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_its_room_given_to_the_next() {
    let limits = EgressLimits { connections: 1, idle: Duration::from_millis(300), ..EgressLimits::default() };
    let world = World::with_limits(&["host.test:PORT"], &["host.test:PORT"], limits).await;
    let mut silent = world.program();
    silent.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
    silent.head().await;
    silent.say_bytes(&hello("host.test")).await;
    let mut second = world.program();
    second
        .say(
            &world.text(
                "GET http://host.test:PORT/ HTTP/1.1\r\nHost: host.test:PORT\r\nConnection: close\r\n\r\n",
            ),
        )
        .await;
    assert!(second.all().await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_program_that_takes_its_time_finds_a_host_that_did_not_wait() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    world.lose_patience();
    let mut program = world.program();
    program.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
    program.head().await;
    tokio::time::sleep(PATIENCE * 4).await;
    let words = hello("host.test");
    program.say_bytes(&words).await;
    assert_eq!(program.hear(words.len()).await, words);
    assert_eq!((world.reached(), world.heard()), (2, words));
    program.hang_up().await;
    let told = world.told_after(|told| told.iter().any(|line| line.ended > 0)).await;
    let counted: Vec<_> = told.iter().map(|line| (line.verdict, line.begun, line.ended)).collect();
    assert_eq!(counted, [(ConnectionVerdict::Allowed, 1, 1)], "it was one connection to the program");
}

#[tokio::test]
async fn a_host_that_is_reached_again_is_checked_again() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    world.lose_patience();
    let first = vec!["127.0.0.1".parse().unwrap()];
    world.answer_in_turn(Answers(vec![first, vec!["169.254.169.254".parse().unwrap()]]));
    let mut program = world.program();
    program.say(&world.text("CONNECT host.test:PORT HTTP/1.1\r\nHost: host.test:PORT\r\n\r\n")).await;
    program.head().await;
    tokio::time::sleep(PATIENCE * 4).await;
    program.say_bytes(&hello("host.test")).await;
    assert_eq!(program.all().await, "");
    assert_eq!((world.reached(), world.heard()), (1, Vec::new()), "nothing of it arrives anywhere");
    let refused = refused(RefusalReason::ForbiddenAddress);
    let told = world.told_after(|told| told.iter().any(|line| line.verdict == refused)).await;
    assert!(told.iter().all(|line| line.host == "host.test"), "{told:?}");
}

#[tokio::test]
async fn all_connections_share_the_bandwidth() {
    let limits = EgressLimits { bytes_a_second: 200_000, ..EgressLimits::default() };
    let world = World::with_limits(&["host.test:PORT"], &["host.test:PORT"], limits).await;
    let began = std::time::Instant::now();
    let world = &world;
    let download = |mut program: world::Program| async move {
        program.say(&world.text("GET http://host.test:PORT/300000 HTTP/1.1\r\nHost: host.test:PORT\r\nConnection: close\r\n\r\n")).await;
        program.all().await.len()
    };
    let (first, second) = tokio::join!(download(world.program()), download(world.program()));
    assert!(first > 300_000 && second > 300_000);
    let took = began.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn the_owner_s_own_proxy_is_asked_and_near_hosts_are_not() {
    let world = World::behind_a_proxy(&["far.test", "near.test:PORT"], &["near.test:PORT"]).await;
    world.answer_with(Vec::new());
    let mut program = world.program();
    program.say("GET http://far.test/x HTTP/1.1\r\nHost: far.test\r\nConnection: close\r\n\r\n").await;
    assert!(program.all().await.starts_with("HTTP/1.1 200 OK"));
    let asked = String::from_utf8(world.heard()).unwrap();
    assert!(
        asked.starts_with("GET http://far.test/x HTTP/1.1\r\n")
            && asked.contains("proxy-authorization: Basic YTpi"),
        "{asked}"
    );
    let mut program = world.program();
    program.say("CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n").await;
    assert!(program.head().await.starts_with("HTTP/1.1 200"));
    let words = hello("far.test");
    program.say_bytes(&words).await;
    assert_eq!(program.hear(words.len()).await, words);
    // A name that leads to a private address is no business of the proxy's.
    world.answer_with(vec!["10.0.0.1".parse().unwrap()]);
    let mut program = world.program();
    program.say("CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n").await;
    assert!(program.all().await.starts_with("HTTP/1.1 403"));
    world.answer_with(vec!["127.0.0.1".parse().unwrap()]);
    let mut program = world.program();
    program
        .say(
            &world.text(
                "GET http://near.test:PORT/ HTTP/1.1\r\nHost: near.test:PORT\r\nConnection: close\r\n\r\n",
            ),
        )
        .await;
    assert!(program.all().await.starts_with("HTTP/1.1 200 OK"));
    assert!(String::from_utf8(world.heard()).unwrap().contains("GET / HTTP/1.1"));
}

#[tokio::test]
async fn a_name_with_one_address_that_is_near_among_others_is_never_asked_of_the_owner_s_proxy() {
    let world = World::behind_a_proxy(&["mixed.test"], &[]).await;
    let addresses = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    for mixed in [
        ["93.184.216.34", "10.0.0.1"],
        ["10.0.0.1", "93.184.216.34"],
        ["2606:2800:220:1::1", "169.254.169.254"],
        ["93.184.216.34", "::ffff:127.0.0.1"],
    ] {
        for request in [
            "CONNECT mixed.test:443 HTTP/1.1\r\nHost: mixed.test:443\r\n\r\n",
            "GET http://mixed.test/ HTTP/1.1\r\nHost: mixed.test\r\nConnection: close\r\n\r\n",
        ] {
            world.answer_with(addresses(&mixed));
            let mut program = world.program();
            program.say(request).await;
            assert!(program.all().await.starts_with("HTTP/1.1 403"), "{mixed:?} {request}");
            assert_eq!(world.verdicts().await[0].2, refused(RefusalReason::ForbiddenAddress), "{mixed:?}");
        }
    }
    assert_eq!(world.reached(), 0, "the proxy heard nothing of it");
    // With public ones alone it is asked.
    world.answer_with(addresses(&["93.184.216.34", "2606:2800:220:1::1"]));
    let mut program = world.program();
    program.say("GET http://mixed.test/ HTTP/1.1\r\nHost: mixed.test\r\nConnection: close\r\n\r\n").await;
    assert!(program.all().await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(world.reached(), 1);
}

#[tokio::test]
async fn a_websocket_is_carried_and_no_other_change_of_protocol() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    let mut program = world.program();
    program.say(&world.text("GET http://host.test:PORT/upgrade HTTP/1.1\r\nHost: host.test:PORT\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")).await;
    assert!(program.head().await.starts_with("HTTP/1.1 101"));
    program.say("frame").await;
    assert_eq!(program.hear(5).await, b"frame");
    let mut program = world.program();
    program.say(&world.text("GET http://host.test:PORT/upgrade HTTP/1.1\r\nHost: host.test:PORT\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")).await;
    assert!(!program.head().await.starts_with("HTTP/1.1 101"));
}

#[tokio::test]
async fn any_bytes_are_survived_and_reach_nobody() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    for seed in 0_u64..300 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let bytes: Vec<u8> = (0..200)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        let begin: &[u8] = match seed % 4 {
            0 => b"",
            1 => b"GET http://",
            2 => &[5, 1, 0, 5, 1, 0, 3],
            _ => b"CONNECT ",
        };
        let mut program = world.program();
        program.say_bytes(&[begin, &bytes].concat()).await;
        program.end().await;
        let _answer = program.all_bytes().await;
    }
    assert_eq!(world.reached(), 0);
}

/// Answers with what it was asked.
struct Parrot;

#[async_trait::async_trait]
impl Origin for Parrot {
    async fn answer(&self, request: hyper::Request<OriginBody>) -> hyper::Response<OriginBody> {
        use http_body_util::BodyExt;
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let said = format!("{} {} {}", head.method, head.uri, String::from_utf8_lossy(&body));
        let body = http_body_util::Full::new(said.into()).map_err(|never| match never {});
        hyper::Response::new(body.boxed_unsync())
    }
}

#[tokio::test]
async fn what_is_asked_of_the_proxy_itself_is_answered_by_who_was_named_for_it() {
    let world = World::new(&["host.test:PORT"], &["host.test:PORT"]).await;
    world.egress.set_origin(Some(std::sync::Arc::new(Parrot)));
    let mut program = world.program();
    program
        .say("POST /anthropic/v1/messages?a=b HTTP/1.1\r\nHost: 127.0.0.1:3128\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        .await;
    let answer = program.all().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("POST /anthropic/v1/messages?a=b hello"), "{answer}");
    // What names a host goes there as before, and to no other.
    let mut program = world.program();
    program.say("GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n").await;
    assert!(program.all().await.starts_with("HTTP/1.1 403 Forbidden"));
    let verdicts = world.verdicts().await;
    assert_eq!(
        verdicts,
        [("evil.test".to_owned(), 80, refused(RefusalReason::NotListed))],
        "nothing else is told"
    );
}

#[tokio::test]
async fn nobody_answers_for_the_proxy_before_somebody_is_named_and_after_the_end() {
    let world = World::new(&[], &[]).await;
    let ask = async || {
        let mut program = world.program();
        program.say("GET /tools HTTP/1.1\r\nHost: 127.0.0.1:3128\r\nConnection: close\r\n\r\n").await;
        program.all().await
    };
    assert!(ask().await.starts_with("HTTP/1.1 400"));
    world.egress.set_origin(Some(std::sync::Arc::new(Parrot)));
    assert!(ask().await.ends_with("GET /tools "));
    world.egress.set_origin(None);
    assert!(ask().await.starts_with("HTTP/1.1 400"));
    world.egress.set_origin(Some(std::sync::Arc::new(Parrot)));
    world.egress.close();
    assert!(ask().await.starts_with("HTTP/1.1 400"));
}
