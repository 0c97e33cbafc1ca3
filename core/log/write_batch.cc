#include "klog/log.h"

namespace klog {

std::string_view WriteBatch::keep(std::string bytes) {
    kept_.push_back(std::make_unique<std::string>(std::move(bytes)));
    return *kept_.back();
}

const FilterGuard* WriteBatch::keep(FilterGuard guard) {
    if (!guards_) guards_ = std::make_unique<std::deque<FilterGuard>>();
    return &guards_->emplace_back(std::move(guard));
}

void WriteBatch::keep_alive(std::shared_ptr<const void> owner) {
    owners_.push_back(std::move(owner));
}

}  // namespace klog
