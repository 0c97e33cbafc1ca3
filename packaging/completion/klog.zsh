#compdef klog
# Completion of klog for zsh: put it into a folder of $fpath, as "_klog"; or `source` it after compinit.
# klog itself says what can stand at the cursor; see man klog-completion.

_klog() {
    local line text note
    local -a open openshown whole wholeshown before
    before=("${(@Q)words[2,CURRENT-1]}")
    (( CURRENT > 2 )) || before=()
    while IFS= read -r line; do
        case $line in
            ('='*)
                text=${${line#=}%%$'\t'*}
                note=
                [[ $line == *$'\t'* ]] && note="  -- ${line#*$'\t'}"
                if [[ $text == */ || $text == *= ]]; then
                    open+=("$text") openshown+=("$text$note")
                else
                    whole+=("$text") wholeshown+=("$text$note")
                fi
                ;;
            (:files) compset -P '--*='; _files; return ;;
            (:folders) compset -P '--*='; _files -/; return ;;
            (:commands) _command_names -e; return ;;
        esac
    done < <(command klog __complete zsh "${before[@]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)
    (( $#open + $#whole )) || return 1
    (( $#open )) && compadd -S '' -d openshown -a open
    (( $#whole )) && compadd -d wholeshown -a whole
    return 0
}

if [[ $funcstack[1] == _klog ]]; then
    _klog "$@"
else
    compdef _klog klog
fi
