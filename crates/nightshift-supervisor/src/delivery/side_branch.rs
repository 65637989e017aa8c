//! How much goes onto the side branch with pictures: it is fetched by whoever clones the repository whole.

use nightshift_forge::PICTURES_BRANCH;

/// The largest picture, in bytes: as much as an attachment may have.
const LARGEST: usize = 10 << 20;

/// What the pictures of one pull request may have together, in bytes.
const TOGETHER: usize = 30 << 20;

/// Why a picture is too large to be put there, beside what the same pull request has there; `None` when it is not.
pub(crate) fn too_large(bytes: usize, there: usize) -> Option<String> {
    let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
    if bytes > LARGEST {
        return Some(format!("it has {} MiB, more than {}", mebibytes(bytes), mebibytes(LARGEST)));
    }
    (there + bytes > TOGETHER).then(|| {
        format!("with it the pictures of this pull request would have more than {} MiB", mebibytes(TOGETHER))
    })
}

/// Whether a picture that is seen at an address is on the side branch.
pub(crate) fn is_there(url: &str) -> bool {
    url.contains(&format!("/blob/{PICTURES_BRANCH}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_limit_and_so_have_all_of_a_pull_request_together() {
        let too_large = |bytes, there| too_large(bytes, there).unwrap_or_default();
        assert_eq!(too_large(10 << 20, 20 << 20), "");
        assert_eq!(too_large((10 << 20) + 1, 0), "it has 11 MiB, more than 10");
        assert_eq!(
            too_large(1, 30 << 20),
            "with it the pictures of this pull request would have more than 30 MiB"
        );
    }

    #[test]
    fn an_attachment_counts_for_nothing_on_the_side_branch() {
        assert!(is_there("https://github.com/o/r/blob/nightshift-assets/aa.png?raw=true"));
        assert!(!is_there("https://github.com/user-attachments/assets/nightshift-assets"));
    }
}
