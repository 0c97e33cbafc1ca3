// Objects read member by member, for texts whose members are known.
#ifndef KLOG_DAEMON_JSON_MEMBERS_H
#define KLOG_DAEMON_JSON_MEMBERS_H

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/json/scanner.h"
#include "klog/result.h"
#include "klog/write.h"

namespace klog::json {

[[nodiscard]] Error bad_record(std::string message, std::string hint = {});

// The object at the scanner's position: each(name) must pass the value of the member and gives a
// Status. Errors: bad_json where it is no object, and those of each.
template <class Each>
Status walk_members(Scanner& in, Each&& each) {
    if (!in.take('{')) return in.error();
    in.skip_space();
    if (in.peek() == '}') return in.take('}') ? Status() : in.error();
    for (;;) {
        RawString raw;
        in.skip_space();
        if (!in.scan_string(raw)) return in.error();
        in.skip_space();
        if (!in.take(':')) return in.error();
        in.skip_space();
        std::string decoded;
        if (raw.escaped && !decode_string(raw.bytes, decoded)) decoded = raw.bytes;
        KLOG_TRY(each(raw.escaped ? std::string_view(decoded) : raw.bytes));
        in.skip_space();
        if (in.peek() == '}') return in.take('}') ? Status() : in.error();
        if (!in.take(',')) return in.error();
    }
}

// Notes that a member was seen. Errors: bad_record if it was before.
Status note_once(bool& seen, std::string_view name);

// The value of the member `name`. Errors: bad_json, bad_record where it is of another form.
Status take_text(Scanner& in, std::string_view name, std::string& out);
// The same as a view into the text where nothing is escaped, else kept by the batch.
Status take_text(Scanner& in, std::string_view name, WriteBatch& batch, std::string_view& out);
// A whole number from 0, without fraction and exponent.
Status take_number(Scanner& in, std::string_view name, std::uint64_t& out);
// An expected version: a number, "absent" or "exists".
Status take_version(Scanner& in, std::string_view name, Expect& out);

}  // namespace klog::json

#endif  // KLOG_DAEMON_JSON_MEMBERS_H
