# Completion for bash. Options are those that --help names, so that none is ever missing here; words
# that an option's value may be are listed below.

_turbotunnel_options()
{
    "$@" --help 2>/dev/null | grep -oE -- '(^|[ ,])--?[A-Za-z][a-z-]*' | tr -d ' ,' | sort -u
}

_turbotunnel_words()
{
    local program=$1 word=$2 previous=$3
    shift 3
    case $previous in
    --how) compgen -W 'fin rst freeze ghost' -- "$word" ;;
    --dump | --key | --authorized-clients | --config) compgen -f -- "$word" ;;
    *)
        case $word in
        -*) compgen -W "$(_turbotunnel_options "$program" "$@")" -- "$word" ;;
        esac
        ;;
    esac
}

_lilbastard()
{
    mapfile -t COMPREPLY < <(_turbotunnel_words "$1" "$2" "$3")
}

# The command comes first, and has options of its own.
_turbotunnel()
{
    case $COMP_CWORD,${COMP_WORDS[1]-} in
    1,*) mapfile -t COMPREPLY < <(compgen -W 'server client check keygen pubkey --help --version' -- "$2") ;;
    *,keygen | *,pubkey) mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
    *) mapfile -t COMPREPLY < <(_turbotunnel_words "$1" "$2" "$3" "${COMP_WORDS[1]}") ;;
    esac
}

complete -F _lilbastard lilbastard
complete -F _turbotunnel turbotunnel
