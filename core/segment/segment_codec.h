// Packing and unpacking by zstd: the only user of that library.
#ifndef KLOG_SEGMENT_SEGMENT_CODEC_H
#define KLOG_SEGMENT_SEGMENT_CODEC_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "klog/result.h"
#include "segment/segment_format.h"

namespace klog {

// A dictionary that repeats what the samples have in common. Empty where they have too little.
// samples: one behind the other; sizes: of each. Errors: none; what cannot be trained is empty.
[[nodiscard]] std::string train_dictionary(std::string_view samples,
                                           const std::vector<std::size_t>& sizes,
                                           std::size_t bytes_max, int level);

// Threads: one at a time.
class Packer {
public:
    explicit Packer(int level);
    ~Packer();
    Packer(const Packer&) = delete;
    Packer& operator=(const Packer&) = delete;

    void set_dictionary(std::string_view dictionary);
    // Packs `plain` into `out`, which is what it held before. plain: it does not help, and `out`
    // means nothing. Errors: bug.
    [[nodiscard]] Result<SegmentCodec> pack(std::string_view plain, std::string& out,
                                            bool with_dictionary);

private:
    struct Contexts;
    std::unique_ptr<Contexts> contexts_;
};

// A dictionary made ready for unpacking. Threads: any number at once.
class UnpackDictionary {
public:
    // What one takes beside the bytes of the dictionary. Unit: bytes.
    static constexpr std::size_t kPreparedBytes = 28U * 1024;

    explicit UnpackDictionary(std::string_view bytes);  // copies them
    ~UnpackDictionary();
    UnpackDictionary(const UnpackDictionary&) = delete;
    UnpackDictionary& operator=(const UnpackDictionary&) = delete;

private:
    friend bool unpack(std::string_view, std::uint8_t, const UnpackDictionary*, std::size_t,
                       std::string&);
    struct Prepared;
    std::unique_ptr<Prepared> prepared_;
};

// Makes `stored` into exactly unpacked_bytes bytes. False: these bytes do not give that; `out` then
// means nothing. Never writes more than unpacked_bytes, whatever the bytes claim.
// dictionary: of codec zstd_dictionary, else it is not looked at. Threads: any.
[[nodiscard]] bool unpack(std::string_view stored, std::uint8_t codec,
                          const UnpackDictionary* dictionary, std::size_t unpacked_bytes,
                          std::string& out);

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_CODEC_H
