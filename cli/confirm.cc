#include "cli/confirm.h"

#include <unistd.h>

#include "cli/output.h"

namespace klog::cli {

Result<bool> confirm(const std::string& question) {
    if (!is_terminal(STDIN_FILENO) || !is_terminal(STDERR_FILENO)) {
        return Error{Code::usage, "this cannot be undone, and nobody is there to be asked",
                     "--yes does it without asking"};
    }
    write_error_stream(question + " [y/N] ");
    std::string answer;
    for (char letter = 0; ::read(STDIN_FILENO, &letter, 1) == 1 && letter != '\n';) {
        answer.push_back(letter);
    }
    return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace klog::cli
