// All published lines, ready to send. They are rendered once, at publish(), and collected by family
// at a scrape. The probe loop writes them, the web thread reads them. A scrape contains each
// publish() completely or not at all.
//
// The lines of one owner in one family are a chunk. There are many chunks (10,000 probes with a
// dozen families each) and most are small, so slabs of about 8 KiB hold several chunks each, and a
// scrape sends slabs. It pins them under the lock, which takes microseconds, and sends them without
// a copy. publish() copies a pinned slab before it changes it.
#pragma once

#include "exporter/model/metric.hpp"
#include "exporter/model/metric_ref.hpp"
#include "exporter/model/series_limit.hpp"
#include "exporter/model/text_format.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

class Exposition {
 public:
  using Owner = std::uint32_t;

  /// A chunk of at least this many bytes has its own slab.
  static constexpr std::size_t kSlabSize = 8 * 1024;
  /// The minimum size at which a chunk with a keeper has its own slab. It is smaller than
  /// kSlabSize, because the lines of the chunk are not copied.
  static constexpr std::size_t kKeptSize = 1024;

  /// The position of an owner's lines in one family. The owner stores it; only publish() changes
  /// it.
  struct Chunk {
    static constexpr std::uint32_t kNone = UINT32_MAX;
    std::uint32_t family = kNone;
    std::uint32_t slab = 0;
    std::uint32_t id = 0;
    [[nodiscard]] bool placed() const { return family != kNone; }
  };

  /// Sets the lines of one chunk. Empty lines remove it.
  struct Change {
    Chunk* chunk = nullptr;
    MetricRef metric{};  ///< the family, if the chunk has no position yet
    std::string_view lines{};
    std::shared_ptr<const void> keeper{};  ///< owns the memory of `lines`; null: they are copied
    std::uint32_t series = 0;              ///< in `lines`; set by publish()
  };

  /// A family that the caller renders at each scrape: a metric of the process.
  struct Extra {
    std::string name;
    std::string help;
    Type type = Type::gauge;
    std::string lines;           ///< may have several suffixes, like a histogram
    std::string_view type_name;  ///< "histogram"; empty: the name of `type`
  };

  /// Which lines a page contains: those of all families, of the families that vitalsd declares, or
  /// of the foreign ones. Foreign lines that join a declared family are foreign.
  enum class Families : unsigned char { all, declared, foreign };

  /// The content of a page.
  struct Selection {
    bool readings = true;                   ///< false: without readings, because they are stale
    bool facts = true;                      ///< if both are false, the page has extras only
    std::optional<std::string_view> owner;  ///< if set: lines of this owner only
    Families families = Families::all;
  };

  /// The series of all owners.
  struct SeriesStatus {
    SeriesCounts counts{};  ///< including those that are left out
    std::size_t limit = 0;
    std::vector<std::pair<std::string, std::size_t>> dropped;  ///< that are left out, by owner
  };

  /// A snapshot for one scrape. A later publish() does not change it.
  class Page;

  Exposition() = default;
  Exposition(const Exposition&) = delete;
  Exposition& operator=(const Exposition&) = delete;

  /// Adds an owner. `name` is the value of its label `probe` and must be unique among owners.
  Owner add_owner(std::string name);
  /// Removes the owner, which must have no chunks.
  void remove_owner(Owner owner);
  [[nodiscard]] bool has_owner(std::string_view name) const;

  /// Applies all changes atomically. The chunks and lines in `changes` must stay valid until it
  /// returns.
  void publish(Owner owner, std::span<Change> changes);

  /// Limits the series of all owners together to `limit`; 0 means no limit. Applies to pages
  /// without Selection::owner. Series of the rank `kept` are always on the page, even beyond the
  /// limit. If the lines of an owner in a family do not all fit, none of them are on the page. An
  /// owner's families are considered in the order of their names.
  void set_series_limit(std::size_t limit);
  [[nodiscard]] SeriesStatus series() const;

  /// All families with lines and `extras`, sorted by name, and the end of the page. The lines of an
  /// extra follow those of the family with the same name. The exposition must outlive the page.
  [[nodiscard]] std::unique_ptr<const Page> page(Format format, const Selection& selection,
                                                 std::vector<Extra> extras) const;

 private:
  struct Entry {
    std::uint32_t id;
    Owner owner;
    std::uint32_t
        end : 31;  // of its lines in the slab; they begin at the end of the previous entry
    std::uint32_t foreign : 1;
    std::uint32_t series = 0;
  };
  struct OwnerState {
    std::string name;  // empty: a free index
    SeriesCounts series{};
  };
  struct Slab {
    std::string text;
    std::string_view kept;               // in place of `text`: the only chunk of this slab
    std::shared_ptr<const void> keeper;  // owns the memory of `kept`
    std::vector<Entry> entries;          // in the order of their ids
    std::uint32_t next_id = 0;
    int pins = 0;  // pages that use this slab; guarded by the mutex, like all members

    [[nodiscard]] std::string_view view() const { return keeper ? kept : text; }
  };
  struct Family {
    MetricRef metric;
    std::size_t chunks = 0;
    std::vector<std::shared_ptr<Slab>> slabs;  // null: a free index
    std::vector<std::uint32_t> free;           // the free indices
    std::uint32_t open = 0;                    // the slab that takes new small chunks
  };
  std::uint32_t family_of(const MetricRef& metric);
  void free_family(std::uint32_t id);
  Slab& writable(Family& family, std::uint32_t slab);
  void place(Owner owner, Change& change, bool foreign);
  [[nodiscard]] std::pair<std::size_t, std::size_t> find(const Chunk& chunk) const;
  void replace(Owner owner, Change& change);
  void remove(Chunk& chunk);
  static void move_ends(Slab& slab, std::size_t first, std::size_t old_size, std::size_t size);
  void count(Entry& entry, const Family& family, std::uint32_t series);
  static std::uint32_t free_place(Family& family);
  static bool has_own_slab(const Change& change);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Family>> families_;      // null: a free index
  std::vector<std::uint32_t> free_families_;           // the free indices
  std::map<std::string_view, std::uint32_t> by_name_;  // indices in families_, in page order
  std::vector<OwnerState> owners_;
  std::vector<Owner> free_owners_;
  std::map<std::string, Owner, std::less<>> owner_names_;
  std::size_t limit_ = 0;  // series of a page; 0: none
};

class Exposition::Page {
 public:
  Page(const Exposition& exposition, Format format, const Selection& selection,
       std::vector<Extra> extras);
  ~Page();
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  /// The page is the concatenation of the pieces. They are valid as long as the page exists.
  [[nodiscard]] std::span<const std::string_view> pieces() const { return pieces_; }
  /// Total bytes of the pieces.
  [[nodiscard]] std::size_t size() const { return size_; }
  /// The series that the limit leaves out, by owner.
  [[nodiscard]] const std::map<Owner, std::size_t>& dropped() const { return dropped_; }

 private:
  struct View {  // a family and the range of its slabs in slabs_
    MetricRef metric;
    std::size_t begin;
    std::size_t end;
    std::vector<std::pair<Owner, SeriesRank>> hidden{};  // whose lines are left out
  };

  void pin(const Selection& selection);
  void find_owners_over_limit();
  void hide_over_limit();
  void hide_over_limit(std::size_t family);
  [[nodiscard]] static SeriesRank rank_of(const Entry& entry, const View& family);
  void add_family(const View& family, Format format);
  [[nodiscard]] bool is_selected(const Entry& entry, const View& family) const;
  void add_extra(Extra& extra, Format format, bool has_header);
  [[nodiscard]] std::string_view shown_type(std::string_view name, std::string_view type,
                                            Format format) const;
  [[nodiscard]] bool has_family(std::string_view name) const;
  void add(std::string_view piece);

  const Exposition& exposition_;
  std::optional<Owner> owner_;  // if set: lines of this owner only
  Families selected_ = Families::all;
  std::vector<View> families_;
  std::vector<Extra> extras_;
  std::vector<std::shared_ptr<Slab>> slabs_;
  std::map<Owner, SeriesCounts> over_limit_;  // that these owners may still have
  std::map<Owner, std::size_t> dropped_;
  std::deque<std::string> texts_;  // headers and extras
  std::vector<std::string_view> pieces_;
  std::size_t size_ = 0;
};

}  // namespace vitalsd
