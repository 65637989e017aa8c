//! Skills that a definition names: texts of the repository that its subagent is given whole at its start.

use nightshift_agent::prompt::GuidanceFile;
use nightshift_agent::subagents::Definition;

use super::super::{Acts, Trouble};
use crate::delivery;

/// Where skills are, the first that has one counts: `NAME/SKILL.md` below these.
const FOLDERS: [&str; 3] = [".nightshift/skills", ".agents/skills", ".claude/skills"];

/// Skills of one definition.
const MOST: usize = 8;

/// The largest skill that is read, in bytes.
const LARGEST: usize = 256 * 1024;

/// Characters of a skill's name (<https://agentskills.io/specification>).
const LONGEST_NAME: usize = 64;

impl Acts {
    /// The skills of a definition, as they are at the base commit.
    pub(super) async fn skills_of(
        &self,
        definition: &Definition,
        notes: &mut Vec<String>,
    ) -> Result<Vec<GuidanceFile>, Trouble> {
        let mut found = Vec::new();
        if definition.skills.is_empty() {
            return Ok(found);
        }
        let repository =
            delivery::repository_of(&self.shared.forge, &self.repository).map_err(Trouble::Fail)?;
        for name in definition.skills.iter().take(MOST) {
            let mut text = None;
            for path in paths(name) {
                if let Ok(bytes) = repository.blob(&self.base, &path, LARGEST).await {
                    text = Some(GuidanceFile { path, text: String::from_utf8_lossy(&bytes).into_owned() });
                    break;
                }
            }
            match text {
                Some(skill) => found.push(skill),
                None => notes.push(format!(
                    "its definition names the skill {}, which the repository does not have.",
                    shown(name)
                )),
            }
        }
        if definition.skills.len() > MOST {
            notes.push(format!("its definition names more than {MOST} skills; it has the first {MOST}."));
        }
        Ok(found)
    }
}

/// Where a skill may be; nowhere, where its name is none.
fn paths(name: &str) -> Vec<String> {
    let fits =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if !(1..=LONGEST_NAME).contains(&name.len()) || !name.chars().all(fits) {
        return Vec::new();
    }
    FOLDERS.iter().map(|folder| format!("{folder}/{name}/SKILL.md")).collect()
}

fn shown(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skill_is_looked_for_in_the_folders_that_clients_share() {
        assert_eq!(
            paths("api-2"),
            [
                ".nightshift/skills/api-2/SKILL.md",
                ".agents/skills/api-2/SKILL.md",
                ".claude/skills/api-2/SKILL.md"
            ]
        );
    }

    #[test]
    fn what_is_no_name_of_a_skill_leads_nowhere() {
        for name in ["", "../../etc", "a/b", "A", "a b", &"x".repeat(65)] {
            assert_eq!(paths(name), Vec::<String>::new(), "{name}");
        }
        assert_eq!(shown("a\u{1b}b"), "ab");
    }
}
