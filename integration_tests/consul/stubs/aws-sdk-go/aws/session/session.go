// Package session opens no session; go.mod says why.
package session

import "errors"

// SharedConfigEnable is taken and forgotten.
const SharedConfigEnable = 1

// Options are taken and forgotten.
type Options struct{ SharedConfigState int }

// Session is never made.
type Session struct{}

// NewSessionWithOptions fails: whoever configures this certificate authority is told so at once.
func NewSessionWithOptions(Options) (*Session, error) {
	return nil, errors.New("certificates from AWS were left out of this build")
}
