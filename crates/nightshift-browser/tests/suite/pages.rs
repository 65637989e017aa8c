//! Pages in a real Chromium.

use std::time::{Duration, Instant};

use nightshift_browser::BrowserError;

use crate::support::{Chromium, Port, reference, site, told, without_references};

const FORM: &str = r#"<!doctype html><title>Trailhead</title>
<h1>Trailhead</h1>
<form onsubmit="event.preventDefault(); document.querySelector('output').textContent = new URLSearchParams(new FormData(this))">
  <label>Note <input name="note" required></label>
  <label>Where <select name="where"><option value="n">North ridge</option><option value="s">South gate</option></select></label>
  <label>When <input name="when" type="date"></label>
  <label><input type="checkbox" name="done"> Done</label>
  <textarea name="more" aria-label="More">old</textarea>
  <button>Add</button>
</form>
<output></output>
<p>Three <b>notes</b> so far, <a href="/other">see all</a>.</p>
<ul><li>Buy rope</li><li>Fix sign</li></ul>
<iframe src="/inner" title="map"></iframe>"#;

#[tokio::test]
async fn a_form_is_read_filled_and_sent_by_references() {
    let chromium = Chromium::start().await;
    let port = Port::of(&chromium);
    let site =
        site(&[("/", FORM), ("/inner", "<button>Zoom in</button>"), ("/other", "<title>All</title>")]).await;
    port.with(async |browser| {
        let page = browser.open(&format!("{site}/"), 10_000).await.unwrap();
        assert!(!page.is_loading);
        assert_eq!(page.page.title, "Trailhead");
        insta::assert_snapshot!(without_references(&page.outline.text.replace(&site, "site")));

        for (words, text) in [
            ("\"Note\"", "Mark the ford"),
            ("\"Where\"", "South gate"),
            ("\"When\"", "2026-11-28"),
            ("\"More\"", ""),
        ] {
            browser.fill(reference(&page, words), text).await.unwrap();
        }
        let done = browser.click(reference(&page, "\"Done\"")).await.unwrap();
        assert_eq!(done.name, "checkbox \"Done\"");
        assert_eq!(browser.click(reference(&page, "\"Add\"")).await.unwrap().name, "button \"Add\"");
        let sent = browser.evaluate("document.querySelector('output').textContent").await.unwrap();
        assert_eq!(sent, "note=Mark+the+ford&where=s&when=2026-11-28&done=on&more=");

        // In a frame of the page, and what it takes no text for.
        assert_eq!(browser.click(reference(&page, "\"Zoom in\"")).await.unwrap().name, "button \"Zoom in\"");
        let refused = browser.fill(reference(&page, "\"Where\""), "East").await.unwrap_err();
        assert_eq!(refused.to_string(), "it has no such option; it has: North ridge | South gate");
        let refused = browser.fill(reference(&page, "\"Done\""), "yes").await.unwrap_err();
        assert_eq!(refused.to_string(), "an input of the kind checkbox is not filled but clicked");
        let refused = browser.fill(reference(&page, "\"Add\""), "yes").await.unwrap_err();
        assert_eq!(refused.to_string(), "it takes no text");

        browser.click(reference(&page, "\"see all\"")).await.unwrap();
        let other = browser.read(None, 10_000).await.unwrap();
        assert_eq!((other.page.title.as_str(), other.page.url), ("All", format!("{site}/other")));
        let old = browser.click(reference(&page, "\"Add\"")).await.unwrap_err();
        assert!(matches!(old, BrowserError::OldReference), "{old}");
    })
    .await;
}

const COVERED: &str = r#"<!doctype html><title>Banner</title>
<button style="position:absolute;top:10px;left:10px" onclick="document.title='clicked'">Under</button>
<div id="banner" style="position:fixed;inset:0;background:#fff8" onclick="document.title='banner'">Cookies?</div>
<button disabled>Off</button>
<button id="late" style="position:absolute;top:3000px" onclick="document.title='far'">Far</button>
<button id="gone" onclick="this.remove()" style="position:relative;z-index:9">Once</button>"#;

#[tokio::test]
async fn what_cannot_be_clicked_is_said_and_nothing_is_clicked() {
    let chromium = Chromium::start().await;
    let port = Port::of(&chromium);
    let site = site(&[("/", COVERED)]).await;
    port.with(async |browser| {
        let page = browser.open(&site, 10_000).await.unwrap();
        let refused = browser.click(reference(&page, "\"Under\"")).await.unwrap_err();
        assert_eq!(refused.to_string(), "the element is covered by <div#banner>");
        let refused = browser.click(reference(&page, "\"Off\"")).await.unwrap_err();
        assert_eq!(refused.to_string(), "the element is disabled");
        assert_eq!(browser.evaluate("document.title").await.unwrap(), "Banner");
        browser.click(reference(&page, "\"Once\"")).await.unwrap();
        let gone = browser.click(reference(&page, "\"Once\"")).await.unwrap_err();
        assert!(matches!(gone, BrowserError::Gone | BrowserError::NotUsable { .. }), "{gone}");
        browser.evaluate("document.getElementById('banner').remove()").await.unwrap();
        // It is scrolled to first.
        browser.click(reference(&page, "\"Far\"")).await.unwrap();
        assert_eq!(browser.evaluate("document.title").await.unwrap(), "far");
    })
    .await;
}

const BROKEN: &str = r#"<!doctype html><title>Broken</title><img src="/missing.png" alt="">
<script>console.error("no note", 3, new Error("y").message); console.log("fine"); fetch("/api/notes");</script>
<script>null.length</script>
<script>Promise.reject(new Error("nobody waits"))</script>
<button onclick="undefinedFunction()">Break</button>"#;

#[tokio::test]
async fn what_goes_wrong_on_a_page_is_told_also_to_who_comes_later() {
    let chromium = Chromium::start().await;
    let port = Port::of(&chromium);
    let site = site(&[("/", BROKEN)]).await;
    port.with(async |browser| {
        let page = browser.open(&site, 10_000).await.unwrap();
        browser.click(reference(&page, "\"Break\"")).await.unwrap();
        let later = browser.read(None, 0).await.unwrap();
        let mut told = told(&later.problems, &site);
        told.sort();
        insta::assert_snapshot!(told.join("\n"));
    })
    .await;
}

#[tokio::test]
async fn an_expression_comes_to_something_or_throws_or_is_ended() {
    let chromium = Chromium::start().await;
    let port = Port::of(&chromium);
    let site = site(&[("/", "<title>x</title>")]).await;
    port.with(async |browser| {
        browser.open(&site, 100).await.unwrap();
        for (expression, expected) in [
            ("1 + 2", "3"),
            ("new Promise(done => setTimeout(() => done('later'), 20))", "later"),
            ("({a: [1]})", "{\n  \"a\": [\n    1\n  ]\n}"),
            ("undefined", "undefined"),
        ] {
            assert_eq!(browser.evaluate(expression).await.unwrap(), expected, "{expression}");
        }
        let threw = browser.evaluate("nothing.here").await.unwrap_err().to_string();
        assert!(threw.starts_with("it threw ReferenceError: nothing is not defined"), "{threw}");
        let long = browser.evaluate("'x'.repeat(3e6)").await.unwrap();
        assert!(long.len() < 21_000 && long.ends_with("(the rest is left out)"));
        let ended = browser.evaluate("for (;;);").await.unwrap_err();
        assert!(matches!(ended, BrowserError::NotUsable { .. } | BrowserError::Refused { .. }), "{ended}");
        assert_eq!(browser.evaluate("1").await.unwrap(), "1", "the page goes on");
    })
    .await;
}

#[tokio::test]
async fn a_page_that_is_busy_for_ever_answers_nothing_and_is_left_by_opening_another() {
    let chromium = Chromium::start().await;
    let port = Port::of(&chromium);
    let hangs = "<title>Busy</title><script>setTimeout(() => { for (;;); }, 0)</script>";
    let site = site(&[("/", hangs), ("/calm", "<title>Calm</title><button>Breathe</button>")]).await;
    let hurried = Port(port.0, Duration::from_secs(4));
    hurried
        .with(async |browser| {
            let _may_not_come_to_its_end = browser.open(&site, 100).await;
            let began = Instant::now();
            let error = browser.read(None, 100).await.unwrap_err();
            assert!(matches!(error, BrowserError::TookTooLong { .. }), "{error}");
            assert!(began.elapsed() < Duration::from_secs(8));
        })
        .await;
    port.with(async |browser| {
        let calm = browser.open(&format!("{site}/calm"), 1_000).await.unwrap();
        assert_eq!(without_references(calm.outline.text.trim()), "[*] button \"Breathe\"");
    })
    .await;
}

const DIALOGS: &str = r#"<!doctype html><title>Dialogs</title>
<button onclick="alert('saved'); document.title = 'told'">Save</button>
<button onclick="document.title = confirm('Delete all?')">Delete</button>"#;

#[tokio::test]
async fn a_dialog_that_only_tells_is_closed_and_one_that_asks_is_left_to_the_agent() {
    let chromium = Chromium::start().await;
    let port = Port::of(&chromium);
    let site = site(&[("/", DIALOGS)]).await;
    port.with(async |browser| {
        let page = browser.open(&site, 10_000).await.unwrap();
        browser.click(reference(&page, "\"Save\"")).await.unwrap();
        assert_eq!(browser.evaluate("document.title").await.unwrap(), "told");
        let asks = browser.click(reference(&page, "\"Delete\"")).await.unwrap_err();
        assert_eq!(
            asks.to_string(),
            "the page asks \"Delete all?\" in a dialog, which stands on the screen until it is answered there"
        );
    })
    .await;
}

#[tokio::test]
async fn a_page_made_to_overwhelm_is_shown_in_part_and_in_time() {
    let chromium = Chromium::start().await;
    let port = Port::of(&chromium);
    let page = "<!doctype html><title>Flood\u{202e}</title><body><script>
        for (let n = 0; n < 5000; n++) console.error('line ' + n + 'x'.repeat(2000));
        const deep = document.body.appendChild(document.createElement('div'));
        let at = deep; for (let n = 0; n < 600; n++) at = at.appendChild(document.createElement('section'));
        at.innerHTML = '<button>Deep</button>';
        for (let n = 0; n < 4000; n++) { const b = document.createElement('button');
            b.textContent = '\u{202e}\u{1b}[31mButton ' + n + ' '.repeat(500) + 'y'.repeat(900); document.body.append(b); }
        setInterval(() => console.error(Math.random()), 1);</script>";
    let site = site(&[("/", page)]).await;
    port.with(async |browser| {
        let loaded = browser.open(&site, 24_000).await.unwrap();
        assert!(loaded.outline.text.chars().count() <= 24_000);
        assert!(loaded.outline.left_out > 3_000, "{}", loaded.outline.left_out);
        assert!(loaded.problems.len() <= 60);
        let all = format!("{} {} {:?}", loaded.outline.text, loaded.page.title, loaded.problems);
        assert!(!all.contains(['\u{202e}', '\u{1b}']), "no character that deceives or commands");
    })
    .await;
}
