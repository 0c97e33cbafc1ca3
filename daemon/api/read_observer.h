// Who reads: told how far a streamed answer has come, and able to end it.
#ifndef KLOG_DAEMON_API_READ_OBSERVER_H
#define KLOG_DAEMON_API_READ_OBSERVER_H

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "klog/result.h"
#include "klog/types.h"

namespace klog::api {

// Called on the exchange's strand.
class ReadObserver {
public:
    virtual ~ReadObserver() = default;

    // What the head of the answer says besides.
    [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> headers() const = 0;
    // The answer has begun. stop may be called from any thread, at any time, from within begun()
    // and looked() too: the answer then ends with that error, if it has not ended already.
    virtual void begun(std::function<void(Error)> stop) = 0;
    // All that matches up to read_to was handed to the connection, and nothing behind `sent`.
    virtual void looked(Seq sent, Seq read_to) = 0;
    // Once; nothing is called afterwards.
    virtual void ended() = 0;
};

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_READ_OBSERVER_H
