//! The page in a real browser: what stands on it is what there is, and strangers' names stay names.
//!
//! Without chromium it says that it was skipped, and why. Pictures are left in the target's folder for temporary files, to be
//! looked at.

mod browser;
mod scene;

use std::path::PathBuf;

use serde_json::json;

use browser::Browser;
use scene::{HOSTILE, Scene};

const DESK: (u32, u32) = (1366, 900);
const PHONE: (u32, u32) = (360, 740);
/// Looks that a page has had, so that there are rates.
const HAS_RATES: &str = "Number(document.body.dataset.looks) >= 4 && \
                         document.querySelector('#totals .figure').textContent !== '–'";
/// When something was painted first, in milliseconds after the page was asked for, and what that waited for.
const PAINT: &str = "(() => { const of = (kind) => performance.getEntriesByType(kind); \
                     const short = (url) => url.split('/').pop().split('?')[0]; \
                     return [...of('paint').map((it) => [it.name, it.startTime]), \
                     ...of('navigation').map((it) => ['first byte', it.responseStart]), \
                     ...of('resource').map((it) => [short(it.name), it.responseEnd])] \
                     .map(([name, at]) => name + ' ' + at.toFixed(0) + ' ms').join(', '); })()";
const HAS_ROWS: &str = "document.querySelectorAll('#table tbody tr').length > 3";
const NO_OVERFLOW: &str = "document.documentElement.scrollWidth <= innerWidth";

fn browser() -> Option<Browser> {
    if let Some(reason) = browser::missing() {
        println!("skipped: {reason}");
        return None;
    }
    Some(Browser::start())
}

/// Runs what a browser does beside brokers that go on meanwhile.
async fn drive(work: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(work).await.expect("it went well");
}

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png"))
}

fn lightness(browser: &mut Browser) -> i64 {
    let of_body = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])";
    browser.value(of_body).as_i64().expect("a number")
}

#[tokio::test]
async fn the_page_shows_what_there_is_and_who_holds_it_up() {
    let Some(mut browser) = browser() else { return };
    let scene = Scene::start().await;
    let url = scene.page();
    drive(move || {
        browser.go(&url, DESK, "light");
        browser.until(HAS_ROWS);
        println!("in a browser that has just begun: {}", browser.value(PAINT));
        browser.go(&format!("{url}health"), DESK, "light");
        println!("one word alone, for comparison: {}", browser.value(PAINT));
        browser.go(&url, DESK, "light");
        browser.until(HAS_ROWS);
        println!("in a tab that had nothing: {}", browser.value(PAINT));
        browser.value("window.isBefore = true");
        browser.order("Page.reload", json!({}));
        browser.until(&format!("!window.isBefore && {HAS_ROWS}"));
        println!("loaded again: {}", browser.value(PAINT));
        // The sender that waits, the client that does not come back, the letters that are dead.
        browser.until("document.querySelector('#held li.bad b').textContent === 'jobs.full'");
        let held = browser.value("document.getElementById('held-list').innerText");
        let held = held.as_str().expect("text");
        for part in ["2 sends wait for room (3 of 3 messages", "in jobs.poison.dead"] {
            assert!(held.contains(part), "{part}: {held}");
        }
        browser.until("document.querySelector('tr.bad td').textContent === 'jobs.full'");
        for (table, row) in [
            ("topics", "news.weather"),
            ("subscriptions", "news.>"),
            ("services", "sums"),
            ("clients", "worker (uid"),
            ("lanes", "lanes"),
            ("users", "uid "),
        ] {
            browser.value(&format!("document.getElementById('tab-{table}').click()"));
            browser.until(&format!(
                "location.hash === '#{table}' && \
                 document.querySelector('#table tbody').innerText.includes('{row}')"
            ));
        }
        browser.until(HAS_RATES);
        browser.value("document.getElementById('tab-queues').click()");
        browser.until("document.querySelector('th').textContent === 'Queue'");
        browser.picture(&picture("light"));
        let canvases = browser.value("document.querySelectorAll('#plots canvas').length");
        assert_eq!(canvases, json!(4));
    })
    .await;
}

#[tokio::test]
async fn keys_and_clicks_sort_filter_and_turn_the_page() {
    let Some(mut browser) = browser() else { return };
    let scene = Scene::start().await;
    scene.many_queues(120).await;
    let url = scene.page();
    drive(move || {
        browser.go(&url, DESK, "light");
        browser.until("document.querySelectorAll('#table tbody tr').length === 50");
        browser.until("document.getElementById('shown').textContent.startsWith('1–50 of 1')");
        browser.value("document.getElementById('on').click()");
        browser.until("document.getElementById('shown').textContent.startsWith('51–100 of 1')");
        browser.press("/");
        browser.until("document.activeElement.id === 'filter'");
        for key in ["m", "a", "n", "y", ".", "1", "1"] {
            browser.press(key);
        }
        browser.until("document.getElementById('shown').textContent === '1–11 of 11'");
        // The deepest first, then by name, then the other way round.
        let first = |browser: &mut Browser, name: &str| {
            let found =
                format!("document.querySelector('#table tbody td').textContent === '{name}'");
            browser.until(&found);
        };
        first(&mut browser, "many.119");
        browser.value("document.querySelector('[data-column=name]').click()");
        first(&mut browser, "many.11");
        browser.value("document.querySelector('[data-column=name]').click()");
        browser.until("document.querySelector('th').ariaSort === 'descending'");
        first(&mut browser, "many.119");
        browser.press("Escape");
        browser.until("document.getElementById('shown').textContent.startsWith('1–50 of 1')");
        browser.press("2");
        browser.until("document.querySelector('th').textContent === 'Topic'");
    })
    .await;
}

#[tokio::test]
async fn names_of_strangers_run_nothing() {
    let Some(mut browser) = browser() else { return };
    let scene = Scene::start().await;
    let url = scene.page();
    drive(move || {
        // What the answers forbid is left out of account first: escaping has to do by itself.
        browser.order("Page.setBypassCSP", json!({ "enabled": true }));
        browser.go(&url, DESK, "light");
        browser.until("document.getElementById('tab-users') !== null");
        for table in ["queues", "clients", "users"] {
            browser.value(&format!("document.getElementById('tab-{table}').click()"));
            let inside = "document.querySelector('#table tbody').textContent.includes('<img')";
            let shown = format!("location.hash === '#{table}' && {inside}");
            match table {
                "users" => browser.until("document.querySelector('th').textContent === 'User'"),
                _ => browser.until(&shown),
            }
        }
        browser.until(HAS_RATES);
        let images = "document.querySelectorAll('main img, main script').length";
        assert_eq!(browser.value(images), json!(0));
        let hacked = "document.documentElement.dataset.hacked ?? 'no'";
        assert_eq!(browser.value(hacked), json!("no"));
        // The control: put in as markup, the very same name does run.
        let hostile = json!(HOSTILE);
        browser.value(&format!("document.querySelector('footer').innerHTML = {hostile}"));
        browser.until("document.documentElement.dataset.hacked === 'x'");
        // And with the answers as they are it would not, even then.
        browser.order("Page.setBypassCSP", json!({ "enabled": false }));
        browser.go(&url, DESK, "light");
        browser.until(HAS_RATES);
        browser.value(&format!(
            "new Promise((tell) => {{ addEventListener('securitypolicyviolation', tell); \
             document.querySelector('footer').innerHTML = {hostile}; }}).then(() => true)"
        ));
        assert_eq!(browser.value(hacked), json!("no"));
    })
    .await;
}

#[tokio::test]
async fn it_is_light_or_dark_and_fits_a_phone() {
    let Some(mut browser) = browser() else { return };
    let scene = Scene::start().await;
    let url = scene.page();
    drive(move || {
        for (size, prefers, name) in
            [(DESK, "dark", "dark"), (PHONE, "light", "phone"), (PHONE, "dark", "phone-dark")]
        {
            browser.go(&url, size, prefers);
            browser.until(HAS_RATES);
            assert_eq!(lightness(&mut browser) < 100, prefers == "dark", "{name}");
            assert_eq!(browser.value(NO_OVERFLOW), json!(true), "{name} scrolls sideways");
            browser.picture(&picture(name));
        }
        // Somebody wants it the other way, and it stays so.
        browser.value("document.getElementById('theme').click()");
        assert!(lightness(&mut browser) > 200, "it is light");
        browser.go(&url, PHONE, "dark");
        assert!(lightness(&mut browser) > 200, "it is light still");
        // The control: what is too wide is noticed.
        browser.value("document.querySelector('footer').append('x'.repeat(2000))");
        assert_eq!(browser.value(NO_OVERFLOW), json!(false));
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_dies_is_told_of_and_the_next_one_is_found() {
    let Some(mut browser) = browser() else { return };
    let scene = Scene::start().await;
    let (url, address) = (scene.page(), scene.address());
    let (say, mut said) = tokio::sync::mpsc::channel::<()>(1);
    let (tell, told) = std::sync::mpsc::sync_channel::<()>(1);
    let work = tokio::task::spawn_blocking(move || {
        browser.go(&url, DESK, "light");
        browser.until("document.getElementById('link').dataset.state === 'live'");
        say.blocking_send(()).expect("somebody waits");
        browser.until("document.getElementById('link').dataset.state === 'lost'");
        let words = browser.value("document.getElementById('lost').innerText");
        assert!(words.as_str().expect("text").starts_with("The broker is gone: "), "{words}");
        browser.picture(&picture("lost"));
        say.blocking_send(()).expect("somebody waits");
        told.recv().expect("another broker");
        browser.until("document.getElementById('link').dataset.state === 'live'");
        assert_eq!(browser.value("document.getElementById('lost').hidden"), json!(true));
    });
    said.recv().await.expect("it looks");
    scene.end().await;
    said.recv().await.expect("it has noticed");
    let _next = scene::broker_at(address).await;
    tell.send(()).expect("it waits");
    work.await.expect("it went well");
}
