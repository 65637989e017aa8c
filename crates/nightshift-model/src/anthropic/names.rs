//! What a model's name tells about it, and the names the provider gives to its tools.

/// The toolset's name in calls and results.
pub(crate) const COMPUTER_FAMILY: &str = "computer";

/// The input under which a call with malformed JSON goes back, as the provider's documentation advises: a call must
/// have an object as input, and the model shall see what it wrote.
pub(crate) const INVALID_JSON: &str = "INVALID_JSON";

/// A form in which a model is offered a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The computer toolset of the fifth generation.
    Toolset,
    /// The computer tool of 4.5 to 4.8.
    Computer2025November,
    /// The computer tool of Sonnet and Haiku 4.5 and before.
    Computer2025January,
    /// The shell of the fourth and fifth generation.
    Bash,
    /// The editor of the fourth and fifth generation.
    TextEditor,
    /// A plain function, which every model knows.
    Function,
}

impl Form {
    /// The provider's type of the tool; empty for a function.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Toolset => "computer_toolset_20260801",
            Self::Computer2025November => "computer_20251124",
            Self::Computer2025January => "computer_20250124",
            Self::Bash => "bash_20250124",
            Self::TextEditor => "text_editor_20250728",
            Self::Function => "",
        }
    }

    /// The header value that admits it (`anthropic-beta`), where one is needed.
    pub(crate) fn beta(self) -> Option<&'static str> {
        match self {
            Self::Computer2025November => Some("computer-use-2025-11-24"),
            Self::Computer2025January => Some("computer-use-2025-01-24"),
            Self::Toolset | Self::Bash | Self::TextEditor | Self::Function => None,
        }
    }

    /// The form to offer when this one was refused.
    fn simpler(self) -> Self {
        match self {
            Self::Toolset => Self::Computer2025November,
            Self::Computer2025November => Self::Computer2025January,
            Self::Computer2025January | Self::Bash | Self::TextEditor | Self::Function => Self::Function,
        }
    }
}

/// The forms in which a model is offered what it may know by training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forms {
    pub(crate) computer: Form,
    pub(crate) shell: Form,
    pub(crate) editor: Form,
    /// Whether the provider may clear old results out of the conversation.
    pub(crate) clears_context: bool,
}

/// The parameter by which the provider clears old results.
pub(crate) const CONTEXT_MANAGEMENT: &str = "context_management";
/// The header value that admits it.
pub(crate) const CONTEXT_MANAGEMENT_BETA: &str = "context-management-2025-06-27";

impl Forms {
    /// Plain functions and nothing else: what an unknown model behind this API is offered.
    const PLAIN: Self = Self {
        computer: Form::Function,
        shell: Form::Function,
        editor: Form::Function,
        clears_context: false,
    };

    /// The forms a model is offered first, by its name.
    pub(crate) fn of(model: &str) -> Self {
        let fourth = Self {
            computer: Form::Computer2025November,
            shell: Form::Bash,
            editor: Form::TextEditor,
            clears_context: true,
        };
        match generation(model) {
            Some((5.., _)) => Self { computer: Form::Toolset, ..fourth },
            Some((4, minor)) => {
                let is_small = model.contains("sonnet-4-5") || model.contains("haiku-4-5");
                let computer = if minor >= 5 && !is_small {
                    Form::Computer2025November
                } else {
                    Form::Computer2025January
                };
                Self { computer, ..fourth }
            }
            Some(_) | None => Self::PLAIN,
        }
    }

    /// The forms after a refusal with this message, if it names one of them.
    pub(crate) fn after_refusal(self, message: &str) -> Option<Self> {
        let names = |form: Form| form != Form::Function && message.contains(form.kind());
        if names(self.computer) {
            Some(Self { computer: self.computer.simpler(), ..self })
        } else if names(self.shell) {
            Some(Self { shell: self.shell.simpler(), ..self })
        } else if names(self.editor) {
            Some(Self { editor: self.editor.simpler(), ..self })
        } else if self.clears_context
            && (message.contains(CONTEXT_MANAGEMENT) || message.contains(CONTEXT_MANAGEMENT_BETA))
        {
            Some(Self { clears_context: false, ..self })
        } else if self.computer.beta().is_some_and(|beta| message.contains(beta)) {
            // The header that would admit it is not taken: the tool is not to be had.
            Some(Self { computer: Form::Function, ..self })
        } else {
            None
        }
    }
}

/// Whether a model decides by itself when to think, and wants to be told so.
pub(crate) fn thinks_adaptively(model: &str) -> bool {
    generation(model).is_some_and(|(major, _)| major >= 5)
}

/// The 5 and the 5 of `claude-sonnet-5-5`, the 4 and the 0 of `claude-opus-4-20250514`; gateways may write something
/// in front of `claude-`.
fn generation(model: &str) -> Option<(u32, u32)> {
    let (_, name) = model.split_once("claude-")?;
    let numbers: Vec<Option<u32>> = name.split('-').map(|part| part.parse().ok()).collect();
    let at = numbers.iter().position(Option::is_some)?;
    // A long number is the date of a release.
    let minor = numbers.get(at + 1).copied().flatten().filter(|minor| *minor < 100);
    Some((numbers[at]?, minor.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computer(model: &str) -> Form {
        Forms::of(model).computer
    }

    #[test]
    fn each_generation_is_offered_the_tools_it_was_trained_on() {
        let toolset =
            ["claude-sonnet-5-5", "claude-opus-5", "anthropic/claude-haiku-5-5", "claude-fable-5-1"];
        assert_eq!(toolset.map(computer), [Form::Toolset; 4]);
        assert_eq!(["claude-opus-4-8", "claude-opus-4-5"].map(computer), [Form::Computer2025November; 2]);
        let older = ["claude-haiku-4-5-20251001", "claude-sonnet-4-5", "claude-opus-4-20250514"];
        assert_eq!(older.map(computer), [Form::Computer2025January; 3]);
        for unknown in ["claude-3-5-sonnet", "qwen3-vl-32b"] {
            assert_eq!(Forms::of(unknown), Forms::PLAIN);
        }
        assert_eq!(Forms::of("claude-opus-4-8").shell, Form::Bash);
    }

    #[test]
    fn a_refusal_takes_away_what_it_names_and_nothing_else() {
        let refuse = |forms: Forms, kind: &str| {
            forms.after_refusal(&format!("tools.2: Input tag '{kind}' found using 'type' does not match"))
        };
        let first = Forms::of("claude-sonnet-5-5");
        let second = refuse(first, "computer_toolset_20260801").unwrap();
        assert_eq!(second, Forms { computer: Form::Computer2025November, ..first });
        let third = refuse(second, "bash_20250124").unwrap();
        assert_eq!(third, Forms { shell: Form::Function, ..second });
        assert_eq!(refuse(third, "bash_20250124"), None, "what is not offered is not what was refused");
        assert_eq!(first.after_refusal("max_tokens: too low"), None);
        let fourth = third.after_refusal("context_management: Extra inputs are not permitted").unwrap();
        assert!(!fourth.clears_context);
    }

    #[test]
    fn refusals_come_to_an_end() {
        let mut forms = Forms::of("claude-sonnet-5-5");
        let everything = "computer_toolset_20260801 computer_20251124 computer_20250124 bash_20250124 \
                          text_editor_20250728 context_management";
        let mut refusals = 0;
        while let Some(simpler) = forms.after_refusal(everything) {
            forms = simpler;
            refusals += 1;
        }
        assert_eq!((forms, refusals), (Forms::PLAIN, 6));
    }
}
