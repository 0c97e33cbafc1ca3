// The key index that people and tools read: keys and topics of one log in SQLite, filled behind
// the log, never on the ack path. man/klog-index.5 documents its tables.
//
// Disposable: deleted or broken, it is rebuilt from the log. What it does not hold yet stands in
// memory (see core/log), and listings merge the two.
//
// Keys stand in runs, each of them in order: what the log gained since the last change becomes one
// more, and runs are merged (merge_step) so that few of them have to be read together.
//
// A database that turns out to be broken in use is deleted as well, with a notice. The call that
// met it returns Code::corrupt, and the watermark is 0 from then on: the caller reads it again
// and fills the index from the log. Other errors: disk_full, locked (somebody's sqlite3 holds it
// for more than 2 s), not_allowed, io; what they interrupted is undone.
//
// The database is opened at the first use, since opening costs a start more than all the rest.
// Threads: any. Listings have a connection of their own and wait for nobody who writes; the other
// calls take turns. With ":memory:" all of them do.
#ifndef KLOG_INDEX_KEY_INDEX_H
#define KLOG_INDEX_KEY_INDEX_H

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "index/key_index_list.h"
#include "klog/env.h"
#include "klog/result.h"
#include "klog/types.h"
#include "topic/topic_count.h"

namespace klog {

// What the log gained in (after, upto].
struct KeyIndexDelta {
    KeyList keys;                                            // sorted, new ones
    std::vector<std::pair<std::string, TopicCount>> topics;  // sorted; counts are added
    Seq after;
    Seq upto;
};

// What one moment of the index lists.
template <class Row>
struct Listed {
    std::vector<Row> rows;
    Seq upto;  // its watermark at that moment
};
using TopicRowOfIndex = std::pair<std::string, TopicCount>;

struct KeyIndexStats {
    Seq upto;                // as KeyIndex::known_watermark
    std::uint64_t keys = 0;  // where the log gives each key once
    std::uint64_t runs = 0;
    std::uint64_t merges = 0;       // that came to their end since the start
    std::uint64_t merged_keys = 0;  // that were moved by merges since the start
};

class KeyIndex {
public:
    virtual ~KeyIndex() = default;

    // path: where the database lies (":memory:" is allowed). Does not open it yet.
    [[nodiscard]] static std::unique_ptr<KeyIndex> make(std::string path,
                                                        std::array<std::uint8_t, 16> store_uuid);

    // Everything up to this seq is in it; 0 for a new one. A database that cannot be read, has
    // another schema or another store's uuid is deleted and made anew (with a notice).
    [[nodiscard]] virtual Result<Seq> watermark() = 0;

    // The same without looking or waiting: 0 also while the database is not open.
    [[nodiscard]] virtual Seq known_watermark() const = 0;
    [[nodiscard]] virtual KeyIndexStats stats() const = 0;

    // One transaction, all or nothing, also after a crash; a crash may take the newest ones back
    // (the watermark with them). A key that exists already is listed once all the same. Errors: bug
    // where delta.after is not watermark().
    virtual Status apply(const KeyIndexDelta& delta) = 0;

    // Merges, about keys_max keys in one transaction. Gives how many were moved; 0: there is
    // nothing to merge.
    virtual Result<std::uint64_t> merge_step(std::uint64_t keys_max) = 0;

    // In byte order, keys > after (or all, where after is empty) that start with prefix.
    [[nodiscard]] virtual Result<Listed<std::string>> keys(std::string_view space,
                                                           std::string_view prefix,
                                                           std::string_view after,
                                                           std::size_t limit) = 0;
    // In byte order, topics > after that start with prefix.
    [[nodiscard]] virtual Result<Listed<TopicRowOfIndex>> topics(std::string_view prefix,
                                                                 std::string_view after,
                                                                 std::size_t limit) = 0;
    [[nodiscard]] virtual Result<TopicCount> topic(std::string_view topic) = 0;  // records 0: none

    // Deletes everything; the watermark is 0 again.
    virtual Status reset() = 0;
    [[nodiscard]] virtual std::vector<std::string> take_notices() = 0;
};

}  // namespace klog

#endif  // KLOG_INDEX_KEY_INDEX_H
