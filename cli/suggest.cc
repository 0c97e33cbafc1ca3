#include "cli/suggest.h"

#include <algorithm>
#include <cstddef>

namespace klog::cli {
namespace {

// Longer words than this are no misspelt names; it also bounds the work.
constexpr std::size_t kWordBytesMax = 64;

std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> above(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replace = above[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, replace});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        before.swap(above);
        above.swap(row);
    }
    return above[b.size()];
}

}  // namespace

std::string nearest(std::string_view wanted, const std::vector<std::string>& names) {
    if (wanted.empty() || wanted.size() > kWordBytesMax) return {};
    std::size_t best = std::max<std::size_t>(1, wanted.size() / 3) + 1;
    std::string found;
    for (const std::string& name : names) {
        // A word that was cut short is the commonest slip of all.
        const bool starts = wanted.size() >= 3 && name.starts_with(wanted);
        const std::size_t edits = starts ? 1 : distance(wanted, name);
        if (edits < best) {
            best = edits;
            found = name;
        }
    }
    return found;
}

}  // namespace klog::cli
