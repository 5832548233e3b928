// A probe of any kind as the configuration makes it, run against whatever a test puts there, and
// what its runs say.
#pragma once

#include "config/settings.hpp"
#include "daemon/build.hpp"
#include "daemon/log.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"
#include "probes/probe.hpp"
#include "probes/services.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/dns_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/page.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd::test {

using Labels = std::map<std::string, std::string>;

/// What one run said.
class Observation {
 public:
  Observation() = default;  // for coroutines that are about to have one
  Observation(std::shared_ptr<const SampleSet> set, std::optional<Failure> thrown)
      : set_(std::move(set)), thrown_(std::move(thrown)) {
    render(*set_);
    for (const auto& [key, part] : set_->parts()) render(part);
    text_ += text_of(thrown_);
  }

  /// The value of the sample with exactly these labels; nothing if there is none.
  [[nodiscard]] std::optional<double> value(std::string_view name,
                                            const Labels& labels = {}) const {
    const auto found = std::ranges::find_if(samples_, [&](const ParsedSample& sample) {
      return sample.name == name && sample.labels == labels;
    });
    return found == samples_.end() ? std::nullopt : std::optional(found->value);
  }
  /// Samples of that name, whatever their labels.
  [[nodiscard]] std::size_t count(std::string_view name) const {
    return static_cast<std::size_t>(std::ranges::count(samples_, name, &ParsedSample::name));
  }
  [[nodiscard]] std::set<std::string> names() const {
    std::set<std::string> all;
    for (const ParsedSample& sample : samples_) all.insert(sample.name);
    return all;
  }

  /// "connect: 127.0.0.1:1: Connection refused", "" where all is well: of the run as a whole.
  [[nodiscard]] std::string failure() const { return text_of(set_->overall(thrown_)); }
  /// Whether the run could not observe, in contrast to what it observed not being well.
  [[nodiscard]] bool threw() const { return thrown_.has_value(); }
  /// The reason alone.
  [[nodiscard]] std::string reason() const {
    const std::string text = failure();
    return text.substr(0, text.find(':'));
  }
  /// The same for a part; "none" if there is no such part.
  [[nodiscard]] std::string failure(std::string_view part) const {
    const auto found = set_->parts().find(part);
    return found == set_->parts().end() ? "none" : text_of(found->second.failure());
  }
  [[nodiscard]] std::size_t parts() const { return set_->parts().size(); }

  /// The reading of a check; nothing if it has none.
  [[nodiscard]] std::optional<double> reading(std::string_view check,
                                              std::string_view object = {}) const {
    const auto found = std::ranges::find_if(checks_, [&](const CheckResult& result) {
      return result.check->name == check && result.object == object;
    });
    return found == checks_.end() ? std::nullopt : std::optional(found->reading);
  }
  [[nodiscard]] std::size_t duplicates() const { return duplicates_; }
  /// All that the run says, to be looked through for what must not be in it.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  static std::string text_of(const std::optional<Failure>& failure) {
    return failure ? std::string(reason_name(failure->reason)) + ": " + failure->detail : "";
  }
  void render(const Part& part) {
    Rendering lines;
    part.render(lines, "", duplicates_);
    for (const Fragment& fragment : part.fragments()) {
      if (fragment == nullptr) continue;
      for (const FragmentFamily& family : *fragment) lines.text += family.lines;
    }
    for (ParsedSample& sample : parse_samples(lines.text)) samples_.push_back(std::move(sample));
    checks_.insert(checks_.end(), part.checks().begin(), part.checks().end());
    text_ += lines.text + text_of(part.failure());
  }

  std::shared_ptr<const SampleSet> set_ = std::make_shared<SampleSet>();
  std::optional<Failure> thrown_;
  std::vector<ParsedSample> samples_;
  std::vector<CheckResult> checks_;
  std::size_t duplicates_ = 0;
  std::string text_;
};

/// The loop and all that probes share. Names other than those of the hosts file do not resolve.
struct KindHouse {
  /// `timeouts` are those of the Kubernetes client.
  explicit KindHouse(const net::kubernetes::Timeouts& timeouts = {})
      : services(loop, {names.endpoint()}, {}, timeouts) {
    log::configure({config::LogLevel::error, config::LogFormat::logfmt});
  }
  ~KindHouse() {
    services.wheel.stop();
    services.wind_down();
  }
  KindHouse(const KindHouse&) = delete;
  KindHouse& operator=(const KindHouse&) = delete;

  /// `options` are the kind's own: "url: 'http://a', method: HEAD".
  std::unique_ptr<Probe> make(std::string_view kind, std::string_view options) {
    config::Document document("test.yaml", "probes: [{name: p, kind: " + std::string(kind) + ", " +
                                               std::string(options) + "}]\n");
    std::vector<JobSpec> jobs = build_jobs(document, services.environment);
    if (document.problems().has_errors()) throw std::runtime_error(document.problems().text());
    return std::move(jobs.at(0).probe);
  }

  /// A run under way. The observation comes with its end.
  [[nodiscard]] Task<Observation> begin(Probe& probe) { return {loop, run(probe)}; }
  Observation observe(Probe& probe) { return begin(probe).get(); }
  Observation observe(std::string_view kind, std::string_view options) {
    return observe(*make(kind, options));
  }

  template <class Condition>
  [[nodiscard]] bool until(const Condition& condition) {
    return run_until(loop, condition);
  }

  asio::io_context loop{1};
  DnsScript names{loop, [](const DnsScript::Query&) { return DnsScript::Answer{.code = 3}; }};
  ProbeServices services;

 private:
  static asio::awaitable<Observation> run(Probe& probe) {
    const auto set = std::make_shared<SampleSet>();
    std::optional<Failure> thrown;
    try {
      co_await probe.observe(*set);
    } catch (const ProbeError& error) {
      thrown = Failure{error.reason(), error.what()};
    }
    co_return Observation(set, std::move(thrown));
  }
};

}  // namespace vitalsd::test
