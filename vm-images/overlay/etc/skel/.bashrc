# For every interactive shell of the user agent.
case $- in
*i*) ;;
*) return ;;
esac

HISTCONTROL=ignoreboth
HISTSIZE=10000
HISTFILESIZE=20000
shopt -s histappend checkwinsize globstar

alias ls='ls --color=auto --group-directories-first'
alias ll='ls -lh'
alias la='ls -lhA'
alias grep='grep --color=auto'

# "~/project (main) ❯": the arrow is green after success and red after failure. The window is named after the folder.
_nightshift_branch() {
    local branch
    branch=$(git symbolic-ref --quiet --short HEAD 2>/dev/null) && printf ' (%s)' "$branch"
}
_nightshift_prompt() {
    local status=$? mark='\[\e[32m\]'
    [ "$status" -eq 0 ] || mark='\[\e[31m\]'
    PS1="\[\e]0;\w\a\]\[\e[34m\]\w\[\e[33m\]\$(_nightshift_branch) ${mark}❯\[\e[0m\] "
}
PROMPT_COMMAND=_nightshift_prompt

if [ -r /usr/share/bash-completion/bash_completion ]; then
    . /usr/share/bash-completion/bash_completion
fi
if [ -r ~/.bash_aliases ]; then
    . ~/.bash_aliases
fi
