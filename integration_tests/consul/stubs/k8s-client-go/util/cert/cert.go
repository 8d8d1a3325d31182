// Package cert reads no certificate; the go.mod of k8s-api says why.
package cert

import (
	"crypto/x509"
	"errors"
)

// ParseCertsPEM fails: whoever configures tokens of Kubernetes is told so at once.
func ParseCertsPEM([]byte) ([]*x509.Certificate, error) {
	return nil, errors.New("tokens of Kubernetes were left out of this build")
}
