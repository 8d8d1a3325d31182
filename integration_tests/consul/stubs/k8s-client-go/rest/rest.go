// Package rest says how Kubernetes would be reached; the go.mod of k8s-api says why it is not.
package rest

import (
	"context"
	"net"
)

// Settings that nobody reads.
type (
	Config struct {
		ContentConfig
		TLSClientConfig
		Host, BearerToken string
		Dial              func(ctx context.Context, network, address string) (net.Conn, error)
	}
	ContentConfig   struct{ ContentType string }
	TLSClientConfig struct{ CAData []byte }
)
