#include "log/holes.h"

namespace klog {

Error hole_error(const Hole& hole) {
    const std::string first = std::to_string(hole.first.value);
    const std::string last = std::to_string(hole.last.value);
    if (hole.open_ended) {
        return {Code::corrupt, "the records from seq " + first + " on cannot be read: " + hole.why,
                "what lies before them can be read; klog verify names all that is damaged"};
    }
    return {Code::corrupt,
            "the records from seq " + first + " to " + last + " cannot be read: " + hole.why,
            "what lies before and behind them can be read (--from " +
                std::to_string(hole.last.value + 1) + "); klog verify names all that is damaged"};
}

}  // namespace klog
