//! Where a page in the window may go. The window is no browser: it shows the owner's UI and its own page, and what else
//! is clicked opens in the browser that the person uses.

use url::Url;

/// The origin of the window's own page.
pub(crate) const OWN: &str = "tauri://localhost";

/// What a page asks the window for, by a link `shell:…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To look for the owner again, and start it.
    TryAgain,
    /// To let the window in again: its session has ended.
    SignIn,
    /// To end the app.
    Quit,
}

/// What happens to an address that a page goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Navigation {
    /// It opens in the window.
    Inside,
    /// It opens in the person's browser or mail program.
    Outside(String),
    /// It is a wish and no address.
    Wished(Wish),
    /// It is a link of ours.
    Link(String),
    /// It does not open.
    Refused,
}

/// Decides about `address`, asked for by a page of the owner at `owner` (if `None`, by the window's own page).
///
/// A page of the owner shows text of agents and repositories, so it can wish for nothing but to be let in, which gives
/// nothing to who is in.
pub fn navigation(address: &str, owner: Option<&str>) -> Navigation {
    let Ok(url) = Url::parse(address) else { return Navigation::Refused };
    if address == "about:blank" || address == OWN || address.starts_with(&format!("{OWN}/")) {
        return Navigation::Inside;
    }
    match (url.scheme(), owner) {
        ("http" | "https", owner) => {
            let own = owner.and_then(|owner| Url::parse(owner).ok()).map(|owner| owner.origin());
            if own == Some(url.origin()) { Navigation::Inside } else { Navigation::Outside(url.into()) }
        }
        ("mailto", _) => Navigation::Outside(url.into()),
        ("nightshift", _) => Navigation::Link(address.to_owned()),
        ("shell", None) if url.path() == "try-again" => Navigation::Wished(Wish::TryAgain),
        ("shell", None) if url.path() == "quit" => Navigation::Wished(Wish::Quit),
        ("shell", Some(_)) if url.path() == "sign-in" => Navigation::Wished(Wish::SignIn),
        (_, _) => Navigation::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Option<&str> = Some("http://127.0.0.1:7727");

    #[test]
    fn the_owner_s_pages_open_in_the_window_and_others_outside() {
        assert_eq!(navigation("http://127.0.0.1:7727/runs/x?at=1#ticket=t", OWNER), Navigation::Inside);
        for foreign in [
            "http://127.0.0.1:7728/",
            "https://127.0.0.1:7727/",
            "http://127.0.0.1:7727@evil.example/",
            "http://localhost:7727/",
            "https://github.com/a/b/pull/1",
            "mailto:ada@example.org",
        ] {
            assert_eq!(navigation(foreign, OWNER), Navigation::Outside(foreign.to_owned()), "{foreign}");
        }
    }

    #[test]
    fn without_an_owner_nothing_of_the_network_opens_in_the_window() {
        let there = "http://127.0.0.1:7727/";
        assert_eq!(navigation(there, None), Navigation::Outside(there.to_owned()));
        assert_eq!(navigation("tauri://localhost/index.html#x", None), Navigation::Inside);
        assert_eq!(navigation("tauri://localhost.evil/", None), Navigation::Refused);
    }

    #[test]
    fn files_scripts_and_programs_are_refused() {
        for address in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
            "blob:http://x/1",
            "ssh://x",
            "no url",
        ] {
            assert_eq!(navigation(address, OWNER), Navigation::Refused, "{address}");
        }
    }

    #[test]
    fn each_page_can_wish_only_for_what_is_its_own() {
        let wishes = ["shell:try-again", "shell:quit", "shell:sign-in", "shell:merge"];
        let of = |owner| wishes.map(|wish| navigation(wish, owner));
        let refused = Navigation::Refused;
        let wished = Navigation::Wished;
        assert_eq!(of(None), [wished(Wish::TryAgain), wished(Wish::Quit), refused.clone(), refused.clone()]);
        assert_eq!(of(OWNER), [refused.clone(), refused.clone(), wished(Wish::SignIn), refused]);
    }

    #[test]
    fn a_link_of_ours_in_a_page_is_followed_as_from_outside() {
        let link = "nightshift://runs/run-0000000001";
        assert_eq!(navigation(link, OWNER), Navigation::Link(link.to_owned()));
    }
}
