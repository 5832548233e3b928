#include "probes/net/tls.hpp"

#include "config/problems.hpp"
#include "config/yaml.hpp"
#include "probes/error.hpp"

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "unit/support/certificate.hpp"
#include "unit/support/temp_directory.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/stat.h>

namespace vitalsd::net {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// ---- options ------------------------------------------------------------------------------------

// The section `tls` of a probe's options, and what is wrong with it.
std::pair<TlsOptions, std::string> read_options(std::string_view yaml) {
  config::Problems problems("f");
  config::Value tree = config::parse_yaml(yaml, problems);
  config::Node node(tree, "", problems);
  TlsOptions options = TlsOptions::read(node);
  node.finish();
  return {std::move(options), problems.text()};
}

TEST(TlsOptionsTest, VerifiesWhereNothingElseIsSaid) {
  const auto [options, problems] = read_options("{}");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(options, TlsOptions());
  EXPECT_TRUE(options.verify);
}

TEST(TlsOptionsTest, ReadsAllOfTheSection) {
  const auto [options, problems] = read_options(
      "{tls: {ca: /ca, verify: false, server_name: db, certificate: /cert, key: /key}}");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(options.ca, "/ca");
  EXPECT_FALSE(options.verify);
  EXPECT_EQ(options.server_name, "db");
  EXPECT_EQ(options.certificate, "/cert");
  EXPECT_EQ(options.key, "/key");
}

TEST(TlsOptionsTest, WantsCertificateAndKeyTogether) {
  EXPECT_THAT(read_options("{tls: {certificate: /cert}}").second,
              HasSubstr("certificate and key go together"));
  EXPECT_THAT(read_options("{tls: {key: /key}}").second,
              HasSubstr("certificate and key go together"));
}

// ---- handshakes ---------------------------------------------------------------------------------

// What comes of a handshake of TLS 1.2 whose key exchange is modulo the prime of this group.
bool shakes_hands_modulo(const char* group) {
  using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
  using Session = std::unique_ptr<SSL, decltype(&SSL_free)>;
  TlsContexts contexts;
  TlsOptions options;
  options.verify = false;
  const auto ours = contexts.client(options);

  const Context theirs(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  const test::detail::Key key(EVP_RSA_gen(2048));
  const test::detail::X509Ptr certificate(X509_new());
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 60);
  X509_set_pubkey(certificate.get(), key.get());
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  SSL_CTX_use_certificate(theirs.get(), certificate.get());
  SSL_CTX_use_PrivateKey(theirs.get(), key.get());
  SSL_CTX_set_max_proto_version(theirs.get(), TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(theirs.get(), "DHE-RSA-AES128-GCM-SHA256");
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> modulo(
      EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr), EVP_PKEY_CTX_free);
  EVP_PKEY* parameters = nullptr;
  EVP_PKEY_keygen_init(modulo.get());
  EVP_PKEY_CTX_set_group_name(modulo.get(), group);
  EVP_PKEY_generate(modulo.get(), &parameters);
  SSL_CTX_set0_tmp_dh_pkey(theirs.get(), parameters);

  const Session client(SSL_new(ours->native_handle()), SSL_free);
  const Session server(SSL_new(theirs.get()), SSL_free);
  BIO* one = nullptr;
  BIO* other = nullptr;
  BIO_new_bio_pair(&one, 1 << 16, &other, 1 << 16);
  SSL_set_bio(client.get(), one, one);
  SSL_set_bio(server.get(), other, other);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(server.get());
  for (int i = 0; i < 10; ++i) {
    SSL_do_handshake(client.get());
    SSL_do_handshake(server.get());
  }
  ERR_clear_error();
  return SSL_is_init_finished(client.get()) != 0 && SSL_is_init_finished(server.get()) != 0;
}

TEST(LargePrimesTest, AreRefused) {
  EXPECT_TRUE(shakes_hands_modulo("ffdhe2048"));
  EXPECT_TRUE(shakes_hands_modulo("ffdhe4096"));  // which some servers prefer to curves
  EXPECT_FALSE(shakes_hands_modulo("ffdhe6144"));
}

// ---- contexts -----------------------------------------------------------------------------------

class TlsContextsTest : public testing::Test {
 protected:
  std::shared_ptr<asio::ssl::context> client(const TlsOptions& options) {
    return contexts_.client(options);
  }
  static std::string failure(const std::function<void()>& action) {
    try {
      action();
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::config);
      return error.what();
    }
    return "none";
  }
  static TlsOptions trusting(const std::string& ca) {
    TlsOptions options;
    options.ca = ca;
    return options;
  }
  // Whether a store takes the certificate for trustworthy.
  static bool trusts(X509_STORE* store, const test::Certificate& certificate) {
    const test::detail::X509Ptr x509(PEM_read_bio_X509(
        test::detail::reading(certificate.certificate).get(), nullptr, nullptr, nullptr));
    const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> check(
        X509_STORE_CTX_new(), X509_STORE_CTX_free);
    X509_STORE_CTX_init(check.get(), store, x509.get(), nullptr);
    return X509_verify_cert(check.get()) == 1;
  }
  // As a rotated Secret is: another file under the same name.
  void replace(const std::string& path, std::string_view content) const {
    std::filesystem::rename(directory_.file("new", content), path);
  }

  test::TempDirectory directory_;
  TlsContexts contexts_;
  test::Certificate ca_ = test::make_certificate("ca");
  test::Certificate other_ = test::make_certificate("other");
};

TEST_F(TlsContextsTest, SharesAContextAmongThoseWithTheSameOptions) {
  const TlsOptions options = trusting(directory_.file("ca.pem", ca_.certificate));
  const auto first = client(options);
  EXPECT_EQ(client(options), first);
  TlsOptions named = options;  // the name belongs to the connection
  named.server_name = "db";
  EXPECT_EQ(client(named), first);
}

TEST_F(TlsContextsTest, GivesOthersToThoseWithOtherOptions) {
  const TlsOptions options = trusting(directory_.file("ca.pem", ca_.certificate));
  const auto first = client(options);
  TlsOptions unverified = options;
  unverified.verify = false;
  EXPECT_NE(client(unverified), first);
  EXPECT_NE(client(trusting(directory_.file("other.pem", other_.certificate))), first);
  TlsOptions known = options;
  known.certificate = directory_.file("cert.pem", other_.certificate);
  known.key = directory_.file("key.pem", other_.key);
  EXPECT_NE(client(known), first);
}

TEST_F(TlsContextsTest, VerifiesOnlyWhereItIsAskedTo) {
  TlsOptions options = trusting(directory_.file("ca.pem", ca_.certificate));
  EXPECT_EQ(SSL_CTX_get_verify_mode(client(options)->native_handle()), SSL_VERIFY_PEER);
  options.verify = false;
  EXPECT_EQ(SSL_CTX_get_verify_mode(client(options)->native_handle()), SSL_VERIFY_NONE);
  options.ca = "/nonexistent/ca.pem";  // of no use, and not read
  EXPECT_EQ(SSL_CTX_get_verify_mode(client(options)->native_handle()), SSL_VERIFY_NONE);
}

TEST_F(TlsContextsTest, SpeaksNothingOlderThanTls12AndResumesNoSession) {
  SSL_CTX* const context = client(trusting(ca_.certificate))->native_handle();
  EXPECT_EQ(SSL_CTX_get_min_proto_version(context), TLS1_2_VERSION);
  EXPECT_EQ(SSL_CTX_get_session_cache_mode(context), SSL_SESS_CACHE_OFF);
}

TEST_F(TlsContextsTest, ReadsFilesAnewThatHaveBeenReplaced) {
  TlsOptions options = trusting(directory_.file("ca.pem", ca_.certificate));
  options.certificate = directory_.file("cert.pem", ca_.certificate);
  options.key = directory_.file("key.pem", ca_.key);
  const auto first = client(options);
  replace(options.ca, other_.certificate);
  const auto second = client(options);
  EXPECT_NE(second, first);
  EXPECT_TRUE(trusts(SSL_CTX_get_cert_store(second->native_handle()), other_));
  EXPECT_FALSE(trusts(SSL_CTX_get_cert_store(second->native_handle()), ca_));
  EXPECT_TRUE(trusts(SSL_CTX_get_cert_store(first->native_handle()), ca_));  // who has it keeps it
  replace(options.certificate, other_.certificate);
  replace(options.key, other_.key);
  EXPECT_NE(client(options), second);
}

TEST_F(TlsContextsTest, TakesThePemTextInPlaceOfTheCaFile) {
  X509_STORE* const store = contexts_.store(ca_.certificate + other_.certificate);
  EXPECT_TRUE(trusts(store, ca_));
  EXPECT_TRUE(trusts(store, other_));
  EXPECT_FALSE(trusts(store, test::make_certificate("stranger")));
  EXPECT_EQ(contexts_.store(ca_.certificate + other_.certificate), store);
}

TEST_F(TlsContextsTest, SaysWhichCaFileCannotBeUsed) {
  for (const std::string& file :
       {std::string("/nonexistent/ca.pem"), directory_.file("empty.pem", ""),
        directory_.file("text.pem", "no certificate"), directory_.file("key.pem", ca_.key)}) {
    EXPECT_THAT(failure([&] { client(trusting(file)); }),
                StartsWith("cannot use the CA file " + file + ": "));
  }
  EXPECT_THAT(failure([&] { client(trusting("-----BEGIN CERTIFICATE-----\nx\n")); }),
              StartsWith("there is no usable CA certificate: "));
}

TEST_F(TlsContextsTest, UsesACaFileAsSoonAsItIsThere) {
  const TlsOptions options = trusting(directory_.path("ca.pem"));
  EXPECT_NE(failure([&] { client(options); }), "none");
  ASSERT_EQ(directory_.file("ca.pem", ca_.certificate), options.ca);
  EXPECT_TRUE(trusts(SSL_CTX_get_cert_store(client(options)->native_handle()), ca_));
}

TEST_F(TlsContextsTest, SaysWhichClientCertificateCannotBeUsed) {
  TlsOptions options = trusting(ca_.certificate);
  options.certificate = directory_.file("cert.pem", ca_.certificate);
  options.key = directory_.file("key.pem", other_.key);
  EXPECT_THAT(failure([&] { client(options); }),
              AllOf(StartsWith("cannot use the client certificate " + options.certificate),
                    HasSubstr(options.key), HasSubstr("key values mismatch")));
  options.key = "/nonexistent/key.pem";
  EXPECT_THAT(failure([&] { client(options); }), HasSubstr("/nonexistent/key.pem"));
  options.certificate = "/nonexistent/cert.pem";
  EXPECT_THAT(failure([&] { client(options); }), HasSubstr("/nonexistent/cert.pem"));
}

// ---- the rest -----------------------------------------------------------------------------------

TEST(PemTest, IsToldFromTheNameOfAFile) {
  EXPECT_TRUE(is_pem("-----BEGIN CERTIFICATE-----\n"));
  EXPECT_TRUE(is_pem("# a comment\n-----BEGIN PRIVATE KEY-----\n"));
  EXPECT_FALSE(is_pem("/etc/ssl/ca.pem"));
  EXPECT_FALSE(is_pem("/etc/BEGIN CERTIFICATE"));
  EXPECT_FALSE(is_pem(""));
}

TEST(OpensslErrorsTest, AreTakenAllAtOnceInTheirOrder) {
  ERR_clear_error();
  EXPECT_EQ(take_openssl_errors(), "");
  ERR_raise(ERR_LIB_SSL, SSL_R_UNSUPPORTED_PROTOCOL);
  ERR_raise(ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH);
  EXPECT_EQ(take_openssl_errors(), "unsupported protocol, key values mismatch");
  EXPECT_EQ(take_openssl_errors(), "");
}

TEST(SystemCaBundleTest, IsTheChosenFileIfThatIsOne) {
  const test::TempDirectory directory;
  const char* const chosen = std::getenv("SSL_CERT_FILE");
  const std::optional<std::string> before =
      chosen == nullptr ? std::nullopt : std::optional<std::string>(chosen);
  const std::string file = directory.file("ca.pem", "x");
  setenv("SSL_CERT_FILE", file.c_str(), 1);
  EXPECT_EQ(system_ca_bundle(), file);
  for (const std::string& no_file : {directory.path("missing.pem"), directory.path("")}) {
    setenv("SSL_CERT_FILE", no_file.c_str(), 1);
    EXPECT_NE(system_ca_bundle(), no_file);
  }
  if (before) {
    setenv("SSL_CERT_FILE", before->c_str(), 1);
  } else {
    unsetenv("SSL_CERT_FILE");
  }
}

TEST(TlsFilesTest, AreWaitedForByNobody) {
  const test::TempDirectory directory;
  const std::string fifo = directory.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  TlsContexts contexts;
  TlsOptions options;
  options.ca = fifo;
  EXPECT_THROW(contexts.client(options), ProbeError);
  options.ca.clear();
  options.verify = false;
  options.certificate = options.key = fifo;
  EXPECT_THROW(contexts.client(options), ProbeError);
}

}  // namespace
}  // namespace vitalsd::net
