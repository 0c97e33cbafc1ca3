#include "segment/segment_codec.h"

#define ZDICT_STATIC_LINKING_ONLY  // for fastCover; zstd is linked statically
#include <zdict.h>
#include <zstd.h>

#include <algorithm>

#include "base/assert.h"

namespace klog {
namespace {

// With fewer samples, or less of them, a dictionary costs more than it saves.
constexpr std::size_t kSamplesMin = 64;
constexpr std::size_t kSampleBytesPerDictionaryByte = 12;
constexpr std::size_t kDictionaryBytesMin = 1024;
// fastCover chooses stretches of so many bytes by how often their words of so many bytes occur, as
// counted in a table of 2^20 entries. Measured on real events: 512 and 1024 are a little worse.
constexpr unsigned kCoverSegmentBytes = 256;
constexpr unsigned kCoverWordBytes = 8;
constexpr unsigned kCoverTableBits = 20;

struct FreeCompressor {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDecompressor {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
struct FreeCompressDictionary {
    void operator()(ZSTD_CDict* dictionary) const { ZSTD_freeCDict(dictionary); }
};
struct FreeDecompressDictionary {
    void operator()(ZSTD_DDict* dictionary) const { ZSTD_freeDDict(dictionary); }
};

// Room for the work of one thread; nothing in it outlives a call.
ZSTD_DCtx* decompressor() {
    thread_local std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context;
    if (context == nullptr) context.reset(ZSTD_createDCtx());
    KLOG_ASSERT(context != nullptr);
    return context.get();
}

}  // namespace

std::string train_dictionary(std::string_view samples, const std::vector<std::size_t>& sizes,
                             std::size_t bytes_max, int level) {
    const std::size_t wanted = std::min(bytes_max, samples.size() / kSampleBytesPerDictionaryByte);
    if (sizes.size() < kSamplesMin || wanted < kDictionaryBytesMin) return {};
    std::string dictionary(wanted, '\0');
    ZDICT_fastCover_params_t params{};
    params.k = kCoverSegmentBytes;
    params.d = kCoverWordBytes;
    params.f = kCoverTableBits;
    params.accel = 1;
    params.zParams.compressionLevel = level;
    const std::size_t bytes =
        ZDICT_trainFromBuffer_fastCover(dictionary.data(), dictionary.size(), samples.data(),
                                        sizes.data(), static_cast<unsigned>(sizes.size()), params);
    if (ZDICT_isError(bytes) != 0) return {};
    dictionary.resize(bytes);
    return dictionary;
}

struct Packer::Contexts {
    explicit Contexts(int wanted) : level(wanted), context(ZSTD_createCCtx()) {}
    const int level;
    const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context;
    std::unique_ptr<ZSTD_CDict, FreeCompressDictionary> dictionary;
};

Packer::Packer(int level) : contexts_(std::make_unique<Contexts>(level)) {
    KLOG_ASSERT(contexts_->context != nullptr);
    ZSTD_CCtx* const context = contexts_->context.get();
    // Checksums and sizes stand in the footer.
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0);
    ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0);
}

Packer::~Packer() = default;

void Packer::set_dictionary(std::string_view dictionary) {
    contexts_->dictionary.reset(
        ZSTD_createCDict(dictionary.data(), dictionary.size(), contexts_->level));
    KLOG_ASSERT(contexts_->dictionary != nullptr);
}

Result<SegmentCodec> Packer::pack(std::string_view plain, std::string& out, bool with_dictionary) {
    ZSTD_CCtx* const context = contexts_->context.get();
    with_dictionary = with_dictionary && contexts_->dictionary != nullptr;
    ZSTD_CCtx_refCDict(context, with_dictionary ? contexts_->dictionary.get() : nullptr);
    out.resize(ZSTD_compressBound(plain.size()));
    const std::size_t bytes =
        ZSTD_compress2(context, out.data(), out.size(), plain.data(), plain.size());
    if (ZSTD_isError(bytes) != 0) {
        return Error{Code::bug, std::string("zstd failed to pack: ") + ZSTD_getErrorName(bytes),
                     ""};
    }
    if (bytes >= plain.size()) return SegmentCodec::plain;
    out.resize(bytes);
    return with_dictionary ? SegmentCodec::zstd_dictionary : SegmentCodec::zstd;
}

struct UnpackDictionary::Prepared {
    std::unique_ptr<ZSTD_DDict, FreeDecompressDictionary> dictionary;
};

UnpackDictionary::UnpackDictionary(std::string_view bytes)
    : prepared_(std::make_unique<Prepared>()) {
    // nullptr where the bytes are no dictionary: unpack() then says so.
    prepared_->dictionary.reset(ZSTD_createDDict(bytes.data(), bytes.size()));
}

UnpackDictionary::~UnpackDictionary() = default;

bool unpack(std::string_view stored, std::uint8_t codec, const UnpackDictionary* dictionary,
            std::size_t unpacked_bytes, std::string& out) {
    if (codec == static_cast<std::uint8_t>(SegmentCodec::plain)) {
        if (stored.size() != unpacked_bytes) return false;
        out.assign(stored);
        return true;
    }
    const bool needs = codec == static_cast<std::uint8_t>(SegmentCodec::zstd_dictionary);
    if (!needs && codec != static_cast<std::uint8_t>(SegmentCodec::zstd)) return false;
    // The frame says its size too: where that is another one, nothing is allocated.
    if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != unpacked_bytes) return false;
    const ZSTD_DDict* prepared = nullptr;
    if (needs) {
        if (dictionary == nullptr) return false;
        prepared = dictionary->prepared_->dictionary.get();
        if (prepared == nullptr) return false;
    }
    out.resize(unpacked_bytes);
    const std::size_t bytes = ZSTD_decompress_usingDDict(decompressor(), out.data(), out.size(),
                                                         stored.data(), stored.size(), prepared);
    return ZSTD_isError(bytes) == 0 && bytes == unpacked_bytes;
}

}  // namespace klog
