# Completion of klog for bash: `source` it, or put it where bash-completion looks, as "klog".
# klog itself says what can stand at the cursor; see man klog-completion.

_klog() {
    COMPREPLY=()
    local line
    while IFS= read -r line; do
        case $line in
            =*) COMPREPLY+=("${line#=}") ;;
            :nospace) compopt -o nospace ;;
            :files) compopt -o default ;;
            :folders) compopt -o dirnames ;;
            :commands) mapfile -t COMPREPLY < <(compgen -c -- "$2") ;;
        esac
    done < <(command klog __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null </dev/null)
}

complete -F _klog klog
