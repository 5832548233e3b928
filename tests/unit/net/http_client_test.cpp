#include "probes/net/http_client.hpp"

#include "probes/net/resolver.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/net/tls.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "../support/certificate.hpp"
#include "../support/loop.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::tcp;

// A TLS server that reads one request and then sends exactly the bytes of the test.
class TlsPeer {
 public:
  TlsPeer() {
    const test::Certificate certificate = test::make_certificate("peer");
    const auto read = [](const std::string& pem) { return test::detail::reading(pem); };
    const test::detail::X509Ptr x509(
        PEM_read_bio_X509(read(certificate.certificate).get(), nullptr, nullptr, nullptr));
    const test::detail::Key key(
        PEM_read_bio_PrivateKey(read(certificate.key).get(), nullptr, nullptr, nullptr));
    SSL_CTX_use_certificate(context_.get(), x509.get());
    SSL_CTX_use_PrivateKey(context_.get(), key.get());
  }

  [[nodiscard]] std::string url() const {
    return "https://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()) + "/";
  }

  // Blocks until a request has arrived.
  void accept() {
    acceptor_.accept(socket_);
    tls_.reset(SSL_new(context_.get()));
    SSL_set_fd(tls_.get(), socket_.native_handle());
    test::detail::require(SSL_accept(tls_.get()) == 1);
    std::array<char, 4096> request{};
    test::detail::require(SSL_read(tls_.get(), request.data(), request.size()) > 0);
    SSL_set0_wbio(tls_.get(), BIO_new(BIO_s_mem()));
  }

  // The encrypted TLS records, one for each piece.
  std::string records(const std::vector<std::string>& pieces) {
    for (const std::string& piece : pieces) {
      test::detail::require(SSL_write(tls_.get(), piece.data(), static_cast<int>(piece.size())) >
                            0);
    }
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(tls_.get()), &data);
    std::string bytes(data, static_cast<std::size_t>(size));
    BIO_reset(SSL_get_wbio(tls_.get()));
    return bytes;
  }

  void send(std::string_view bytes) { boost::asio::write(socket_, boost::asio::buffer(bytes)); }

 private:
  using Context = std::unique_ptr<SSL_CTX, test::detail::Freeing<SSL_CTX_free>>;
  using Tls = std::unique_ptr<SSL, test::detail::Freeing<SSL_free>>;

  boost::asio::io_context loop_;  // never runs, because all calls block
  tcp::acceptor acceptor_{loop_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)};
  tcp::socket socket_{loop_};
  Context context_{SSL_CTX_new(TLS_server_method())};
  Tls tls_;
};

const std::string kHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

// Chunks in the records that servers write, of which some contain no body data.
std::vector<std::string> chunks(int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) out.insert(out.end(), {"5\r\n", "hello", "\r\n"});
  return out;
}

class HttpStream : public testing::Test {
 protected:
  HttpStream() {
    request_.url = *config::Scalar<config::Url>::parse(peer_.url());
    request_.tls.verify = false;
    request_.on_data = [this](std::string_view piece) {
      body_ += piece;
      return !ended_;
    };
    bool accepted = false;
    std::thread server([&] {
      peer_.accept();
      asio::post(loop_, [&] { accepted = true; });
    });
    asio::co_spawn(loop_, client_.perform(request_, out_),
                   [this](const std::exception_ptr&, const HttpResponse&) { done_ = true; });
    EXPECT_TRUE(test::run_until(loop_, [&] { return accepted; }));
    server.join();
  }
  ~HttpStream() override {
    ended_ = true;
    peer_.send(peer_.records(chunks(1)));
    EXPECT_TRUE(test::run_until(loop_, [&] { return done_; }));
    wheel_.stop();
  }

  asio::io_context loop_;
  TimerWheel wheel_{loop_};
  Resolver resolver_{loop_, wheel_, {}};
  ConfiguredFiles files_{loop_, wheel_};
  TlsContexts tls_{files_};
  HttpClient client_{loop_, wheel_, resolver_, tls_};
  TlsPeer peer_;
  HttpRequest request_;
  SampleSet out_;
  std::string body_;
  bool ended_ = false;
  bool done_ = false;
};

TEST_F(HttpStream, ReadsAllReceivedRecordsAtOnce) {
  std::vector<std::string> pieces = chunks(1000);
  pieces.insert(pieces.begin(), kHead);
  peer_.send(peer_.records(pieces));  // nothing follows
  EXPECT_TRUE(test::run_until(loop_, [&] { return body_.size() == 5 * 1000; })) << body_.size();
}

TEST_F(HttpStream, WaitsForTheRestOfARecord) {
  peer_.send(peer_.records({kHead}));
  const std::string more = peer_.records(chunks(2));
  peer_.send(more.substr(0, more.size() / 2));
  EXPECT_TRUE(test::run_until(loop_, [&] { return body_ == "hello"; })) << body_;
  loop_.restart();
  EXPECT_LT(loop_.run_for(100ms), 50U) << "handlers";
  peer_.send(more.substr(more.size() / 2));
  EXPECT_TRUE(test::run_until(loop_, [&] { return body_ == "hellohello"; })) << body_;
}

}  // namespace
}  // namespace vitalsd::net
