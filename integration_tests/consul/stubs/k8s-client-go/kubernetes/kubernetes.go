// Package kubernetes makes no client; the go.mod of k8s-api says why.
package kubernetes

import (
	"errors"

	authv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// Clientset is never made.
type Clientset struct{}

// NewForConfig fails.
func NewForConfig(*rest.Config) (*Clientset, error) {
	return nil, errors.New("tokens of Kubernetes were left out of this build")
}

// CoreV1 returns nothing.
func (*Clientset) CoreV1() corev1.ServiceAccountsGetter { return nil }

// AuthenticationV1 returns nothing.
func (*Clientset) AuthenticationV1() authv1.TokenReviewsGetter { return nil }
