// A map from texts that is asked mostly for texts that it does not hold. Private to core/topic.
#ifndef KLOG_TOPIC_SCREENED_MAP_H
#define KLOG_TOPIC_SCREENED_MAP_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace klog {

// In front of the map stands a Bloom filter of two bytes a text, which the processor's own cache
// holds: of a hundred texts that are not there it lets about two through.
template <class T>
class ScreenedMap {
public:
    // The value of exactly this text, made if it is not there. Stays where it is until erased.
    T& operator[](std::string_view text) {
        if (T* const there = find(text)) return *there;
        T& made = map_[std::string(text)];
        if (map_.size() > room_) {
            screen_anew();
        } else if (!screen_.empty()) {
            add(Hash{}(text));
        }
        return made;
    }

    // nullptr: it is not there.
    [[nodiscard]] T* find(std::string_view text) {
        if (!screen_.empty() && !may_hold(Hash{}(text))) return nullptr;
        const auto found = map_.find(text);
        return found == map_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] const T* find(std::string_view text) const {
        if (!screen_.empty() && !may_hold(Hash{}(text))) return nullptr;
        const auto found = map_.find(text);
        return found == map_.end() ? nullptr : &found->second;
    }

    void erase(std::string_view text) {
        const auto found = map_.find(text);
        if (found == map_.end()) return;
        map_.erase(found);
        // Its bits stay until there are many of such.
        if (!screen_.empty() && ++gone_ > room_ / 2) screen_anew();
    }

    [[nodiscard]] bool empty() const { return map_.empty(); }
    [[nodiscard]] std::size_t size() const { return map_.size(); }

private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>{}(text);
        }
    };
    // Fewer are looked up without it.
    static constexpr std::size_t kScreenedFrom = 16;
    static constexpr std::size_t kTextsPerWord = 4;

    // Both bits of a text stand in one word, whose number comes from other bits of the hash.
    [[nodiscard]] static std::uint64_t bits_of(std::size_t hash) {
        return (std::uint64_t{1} << (hash & 63U)) | (std::uint64_t{1} << ((hash >> 6U) & 63U));
    }
    [[nodiscard]] std::size_t word_of(std::size_t hash) const {
        return (hash >> 12U) & (screen_.size() - 1);
    }
    void add(std::size_t hash) { screen_[word_of(hash)] |= bits_of(hash); }
    [[nodiscard]] bool may_hold(std::size_t hash) const {
        const std::uint64_t bits = bits_of(hash);
        return (screen_[word_of(hash)] & bits) == bits;
    }

    // For twice as many as there are, or none where there are few.
    void screen_anew() {
        gone_ = 0;
        room_ = kScreenedFrom;
        screen_ = {};
        if (map_.size() < kScreenedFrom) return;
        while (room_ < 2 * map_.size()) room_ *= 2;
        screen_.resize(room_ / kTextsPerWord);
        for (const auto& [text, value] : map_) add(Hash{}(text));
    }

    std::unordered_map<std::string, T, Hash, std::equal_to<>> map_;
    std::vector<std::uint64_t> screen_;  // a power of two of words, or none
    std::size_t room_ = kScreenedFrom;   // texts that it is made for
    std::size_t gone_ = 0;               // texts whose bits are still there
};

}  // namespace klog

#endif  // KLOG_TOPIC_SCREENED_MAP_H
