# Completion of klog for fish: put it into ~/.config/fish/completions, or `source` it.
# klog itself says what can stand at the cursor; see man klog-completion.

function __klog_complete
    set -l words (commandline -opc)
    set -e words[1]
    set -l typed (commandline -ct)
    # An open quote has no end yet; what is typed without it is what counts.
    switch $typed
        case "'*" '"*'
            set typed (string sub -s 2 -- $typed)
        case '*'
            set typed (string unescape -- $typed; or echo $typed)
    end
    # The name of an option in the same word stays where it is.
    set -l option (string match -r '^--[^=]*=' -- $typed)
    set -l path (string replace -r '^--[^=]*=' '' -- $typed)
    for line in (command klog __complete fish $words "$typed" 2>/dev/null </dev/null)
        switch $line
            case '=*'
                string sub -s 2 -- $line
            case ':files'
                string replace -r -- '^' "$option" (__fish_complete_path $path)
            case ':folders'
                string replace -r -- '^' "$option" (__fish_complete_directories $path)
            case ':commands'
                __fish_complete_command
        end
    end
end

complete -c klog -f -a '(__klog_complete)'
