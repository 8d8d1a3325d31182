// Package v1 names the calls that review tokens; none is ever made. The go.mod of k8s-api says why.
package v1

import authv1 "k8s.io/api/authentication/v1"

// Who can review tokens, and how.
type (
	TokenReviewsGetter   interface{ TokenReviews() TokenReviewInterface }
	TokenReviewInterface interface {
		Create(*authv1.TokenReview) (*authv1.TokenReview, error)
	}
)
