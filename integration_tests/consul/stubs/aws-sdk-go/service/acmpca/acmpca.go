// Package acmpca names the calls of a certificate authority; none is ever made, since there is no session. go.mod says why.
package acmpca

import (
	"errors"

	"github.com/aws/aws-sdk-go/aws/session"
)

// Words of the service.
const (
	CertificateAuthorityStatusActive             = "ACTIVE"
	CertificateAuthorityStatusDisabled           = "DISABLED"
	CertificateAuthorityStatusPendingCertificate = "PENDING_CERTIFICATE"
	CertificateAuthorityTypeSubordinate          = "SUBORDINATE"
	ErrCodeLimitExceededException                = "LimitExceededException"
	ErrCodeRequestInProgressException            = "RequestInProgressException"
	KeyAlgorithmEcPrime256v1                     = "EC_prime256v1"
	KeyAlgorithmRsa2048                          = "RSA_2048"
	KeyAlgorithmRsa4096                          = "RSA_4096"
	SigningAlgorithmSha256withecdsa              = "SHA256WITHECDSA"
	SigningAlgorithmSha256withrsa                = "SHA256WITHRSA"
	ValidityPeriodTypeDays                       = "DAYS"
)

// What the calls take and return, as far as Consul looks at it.
type (
	ASN1Subject                                 struct{ CommonName *string }
	CertificateAuthority                        struct{ Status *string }
	CrlConfiguration                            struct{ Enabled *bool }
	CreateCertificateAuthorityOutput            struct{ CertificateAuthorityArn *string }
	DeleteCertificateAuthorityOutput            struct{}
	DescribeCertificateAuthorityInput           struct{ CertificateAuthorityArn *string }
	DescribeCertificateAuthorityOutput          struct{ CertificateAuthority *CertificateAuthority }
	GetCertificateAuthorityCertificateInput     struct{ CertificateAuthorityArn *string }
	GetCertificateAuthorityCsrInput             struct{ CertificateAuthorityArn *string }
	GetCertificateAuthorityCsrOutput            struct{ Csr *string }
	GetCertificateInput                         struct{ CertificateArn, CertificateAuthorityArn *string }
	GetCertificateOutput                        struct{ Certificate, CertificateChain *string }
	GetCertificateAuthorityCertificateOutput    struct{ Certificate, CertificateChain *string }
	ImportCertificateAuthorityCertificateOutput struct{}
	IssueCertificateOutput                      struct{ CertificateArn *string }
	RevocationConfiguration                     struct{ CrlConfiguration *CrlConfiguration }
	Tag                                         struct{ Key, Value *string }
	UpdateCertificateAuthorityInput             struct{ CertificateAuthorityArn, Status *string }
	UpdateCertificateAuthorityOutput            struct{}

	CertificateAuthorityConfiguration struct {
		KeyAlgorithm, SigningAlgorithm *string
		Subject                        *ASN1Subject
	}
	CreateCertificateAuthorityInput struct {
		CertificateAuthorityConfiguration *CertificateAuthorityConfiguration
		CertificateAuthorityType          *string
		IdempotencyToken                  *string
		RevocationConfiguration           *RevocationConfiguration
		Tags                              []*Tag
	}
	DeleteCertificateAuthorityInput struct {
		CertificateAuthorityArn     *string
		PermanentDeletionTimeInDays *int64
	}
	ImportCertificateAuthorityCertificateInput struct {
		Certificate, CertificateChain []byte
		CertificateAuthorityArn       *string
	}
	IssueCertificateInput struct {
		CertificateAuthorityArn, SigningAlgorithm, TemplateArn *string
		Csr                                                    []byte
		Validity                                               *Validity
	}
	Validity struct {
		Type  *string
		Value *int64
	}
)

var errLeftOut = errors.New("certificates from AWS were left out of this build")

// ACMPCA is never asked.
type ACMPCA struct{}

// New needs a session, and there is none.
func New(*session.Session) *ACMPCA { return &ACMPCA{} }

// CreateCertificateAuthority fails.
func (*ACMPCA) CreateCertificateAuthority(*CreateCertificateAuthorityInput) (*CreateCertificateAuthorityOutput, error) {
	return nil, errLeftOut
}

// DeleteCertificateAuthority fails.
func (*ACMPCA) DeleteCertificateAuthority(*DeleteCertificateAuthorityInput) (*DeleteCertificateAuthorityOutput, error) {
	return nil, errLeftOut
}

// DescribeCertificateAuthority fails.
func (*ACMPCA) DescribeCertificateAuthority(*DescribeCertificateAuthorityInput) (*DescribeCertificateAuthorityOutput, error) {
	return nil, errLeftOut
}

// GetCertificate fails.
func (*ACMPCA) GetCertificate(*GetCertificateInput) (*GetCertificateOutput, error) {
	return nil, errLeftOut
}

// GetCertificateAuthorityCertificate fails.
func (*ACMPCA) GetCertificateAuthorityCertificate(*GetCertificateAuthorityCertificateInput) (*GetCertificateAuthorityCertificateOutput, error) {
	return nil, errLeftOut
}

// GetCertificateAuthorityCsr fails.
func (*ACMPCA) GetCertificateAuthorityCsr(*GetCertificateAuthorityCsrInput) (*GetCertificateAuthorityCsrOutput, error) {
	return nil, errLeftOut
}

// ImportCertificateAuthorityCertificate fails.
func (*ACMPCA) ImportCertificateAuthorityCertificate(*ImportCertificateAuthorityCertificateInput) (*ImportCertificateAuthorityCertificateOutput, error) {
	return nil, errLeftOut
}

// IssueCertificate fails.
func (*ACMPCA) IssueCertificate(*IssueCertificateInput) (*IssueCertificateOutput, error) {
	return nil, errLeftOut
}

// UpdateCertificateAuthority fails.
func (*ACMPCA) UpdateCertificateAuthority(*UpdateCertificateAuthorityInput) (*UpdateCertificateAuthorityOutput, error) {
	return nil, errLeftOut
}
